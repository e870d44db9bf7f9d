#!/bin/dash
# needs: dash
# The small shell: pipelines, traps, here-documents, functions, arithmetic.
echo hello | tr a-z A-Z
for i in 1 2 3; do echo "$i"; done | while read -r n; do echo $((n * n)); done
x=$(cat <<END
doc $((1 + 2))
END
); echo "$x"
f() { local v=inner; echo "$v $1 $#"; return 5; }; v=outer; f a b; echo "$? $v"
trap 'echo term' TERM; kill -TERM $$; echo after
sleep 10 & p=$!; sleep 0.1; { kill $p; wait $p; } 2>/dev/null; echo "killed $?"
(exit 9) & wait $!; echo "nine $?"
trap 'echo bye' EXIT
set -- -a x -b; while getopts ab opt; do echo "$opt"; done; shift $((OPTIND - 1)); echo "$*"
case abc in a*) echo a ;; esac
i=0; while [ $i -lt 2000 ]; do i=$((i + 1)); done; echo $i
n=0; while [ $n -lt 60 ]; do n=$((n + 1)); /bin/true; done; echo "$n programs"
(ulimit -n 20; ulimit -n); umask 077; umask; : >u; stat -c %a u
mkfifo ff; echo via fifo >ff & cat ff; wait
printf '%s %d %x\n' a 10 255; test -f u && echo file; [ -d . ] && echo dir
exec 3>out; echo three >&3; exec 3>&-; cat out
cat nosuch; echo "$?"; nosuchcommand; echo "$?"; /etc/passwd; echo "$?"
eval 'echo evaluated'; . /dev/fd/9 9<<END
echo sourced from a descriptor
END
times >/dev/null && echo times
exit 0
