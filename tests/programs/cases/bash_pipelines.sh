#!/bin/bash
# Pipelines, their status, subshells, process substitution, here-documents and coprocesses.
seq 1 1000 | awk '{ s += $1 } END { print s }'
seq 1 20000 | sort -rn | head -3; echo "${PIPESTATUS[*]}"
yes | head -5 | tr y n | tr -d '\n'; echo
false | true; echo "last $?"
set -o pipefail; false | true; echo "pipefail $?"; set +o pipefail
true | false | (exit 7); echo "statuses ${PIPESTATUS[*]}"
! true; echo "not $?"
shopt -s lastpipe; echo a b c | read -r x y z; echo "$z$y$x"; shopt -u lastpipe

diff <(seq 1 5) <(seq 1 2 5); echo "diff $?"
paste <(printf '1\n2\n') <(printf 'a\nb\n') <(printf 'x\ny\n')
seq 3 | tee >(sed 's/^/copy /' >copy) >/dev/null; sleep 0.2; cat copy
while read -r a b; do echo "$b-$a"; done < <(printf '1 2\n3 4\n')

cat <<END
here $((6 * 7)) ${SHELL##*/} | sed "s,x,x,"
END
cat <<'END' | tr a-z A-Z
quoted $HOME `no`
END
cat <<-END
	tabs are gone
	END
cat <<<"here string"
big=$(seq 1 30000); cat <<END | md5sum
$big
END
exec 3<<END
from three
END
cat <&3; exec 3<&-

coproc UP { while read -r line; do echo "${line^^}"; done; }
for w in one two three; do echo "$w" >&"${UP[1]}"; read -r got <&"${UP[0]}"; echo "$got"; done
exec {UP[1]}>&-; wait "$UP_PID"; echo "coproc $?"
coproc bc_like (sed -u 's/^/-> /')
echo hello >&"${bc_like[1]}"; read -r got <&"${bc_like[0]}"; echo "$got"

(cd / && pwd); basename "$PWD" | cut -c1-9
(x=1; (x=2; echo "$x"); echo "$x")
x=$(echo out; echo err >&2) 2>err; echo "x=$x"; cat err
{ echo one; echo two >&2; } 2>&1 | sort
exec 4>&1; (echo direct >&4) >/dev/null; exec 4>&-
mapfile -t lines < <(seq 5); echo "${#lines[@]} ${lines[4]}"
for i in {1..40}; do echo "$i"; done | while read -r n; do [ $((n % 8)) = 0 ] && echo "$n"; done
f() { local i; for ((i = 0; i < $1; i++)); do echo "line $i"; done; }
f 5000 | f 2 | cat; f 5000 | md5sum
head -c 300000 /dev/zero | tr '\0' x | wc -c
head -c 200000 /dev/zero | cat | cat | cat | cat | wc -c
exit 0
