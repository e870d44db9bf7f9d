#!/bin/bash
# ulimit, umask, tests of files, globbing, arrays, printf, getopts, exec and redirections.
ulimit -n 64; ulimit -n; ulimit -Hn; (ulimit -n 10; exec 11</dev/null) 2>&1 | sed 's/.*: //' | head -1
ulimit -c 0; ulimit -c; ulimit -f 8; head -c 20000 /dev/zero >big 2>/dev/null; echo "xfsz $?"; stat -c %s big
(ulimit -v 100000; python3 -c 'x = bytearray(1 << 30)' 2>/dev/null; [ $? != 0 ] && echo "no memory")
(ulimit -t 1; bash -c 'while :; do :; done'; echo "cpu limit $?") 2>/dev/null
ulimit -s 1024; ulimit -s; bash -c 'ulimit -s'
umask; umask 027; >f027; mkdir d027; stat -c '%a %n' f027 d027; umask -S; umask 022
touch a b c; ln -s a l; ln -s gone dangling; mkdir -p d/e; mkfifo p; : >empty; echo x >full; chmod +x full
for t in -e -f -d -L -p -s -r -w -x -S -b -c; do
  for f in a l dangling d p empty full /dev/null; do [ $t $f ] && printf '%s %s\n' "$t" "$f"; done
done
[ a -ef l ] && echo same; touch -d @100 old; [ a -nt old ] && echo newer; [ old -ot a ] && echo older
echo *; echo d/*; echo [a-c]; echo {x,y}{1..3}; shopt -s nullglob dotglob globstar extglob; echo nope*; touch .h; echo .[a-z]
echo **/; echo !(a|b|c)
declare -A m=([one]=1 [two]=2); for k in $(printf '%s\n' "${!m[@]}" | sort); do echo "$k=${m[$k]}"; done
s=hello.tar.gz; echo "${s%.*} ${s%%.*} ${s#*.} ${s##*.} ${s/l/L} ${s//l/L} ${s:1:3} ${#s} ${s^} ${s^^}"
printf '%5d|%-5s|%05.1f|%x|%o|%q|%b\n' 42 ab 3.14159 255 8 "a b" 'c\td'
printf '%(%Y-%m-%d %H:%M:%S)T\n' 0
while getopts ab:c o -a -b val -c rest; do echo "$o ${OPTARG-}"; done
echo $((2 ** 40 + 7 % 4)) $((0x1f & 5)) $((RANDOM >= 0))
[[ abc123 =~ ^([a-z]+)([0-9]+)$ ]] && echo "${BASH_REMATCH[1]} ${BASH_REMATCH[2]}"
case foo.c in *.h) echo h ;; *.c) echo c ;; esac
exec 3>three; echo to three >&3; exec 3>&-; cat three; echo more >>three; wc -l <three
exec 6<>rw; echo abc >&6; exec 6>&-; cat rw
set -C; echo x >three 2>/dev/null || echo noclobber; echo x >|three; set +C; cat three
exec 7</dev/null; ls -l /proc/self/fd/7 | sed 's/.*-> //'; exec 7<&-
(exec 8>&1 >/dev/null; echo hidden; echo shown >&8)
{ echo to fd; } {fd}>vfd; [ "$fd" -ge 10 ] && cat vfd
cat nosuchfile; ls nosuchdir; cd nosuchdir; echo x >nosuchdir/f; ./nosuch; echo "$?"; ./a; echo "$?"
echo '#!/bin/sh
echo "script $0 $1"' >s.sh; chmod +x s.sh; ./s.sh arg; PATH=.:$PATH s.sh arg2
echo 'echo no interpreter line' >n.sh; chmod +x n.sh; ./n.sh
printf '#!/no/such/interpreter\n' >bad.sh; chmod +x bad.sh; ./bad.sh 2>/dev/null; echo "$?"
printf '#! /usr/bin/env -S bash -c "echo split"\n' >e.sh; chmod +x e.sh; ./e.sh
source ./s.sh sourced | sed 's/script .* /script X /'
type -t cd ls if nosuch; hash -r; command -v sh
echo "${BASH_VERSINFO[0]}" "$EUID" "$UID" "${GROUPS[0]}" "$SHLVL"
pushd / >/dev/null; pwd; popd >/dev/null; cd d/e && cd ../.. && basename "$PWD" | cut -c1-9
time_out=$( { TIMEFORMAT='%R'; time sleep 0.2; } 2>&1 ); [[ $time_out =~ ^[01]\. ]] && echo timed
exit 0
