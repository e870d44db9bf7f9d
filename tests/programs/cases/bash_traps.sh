#!/bin/bash
# Traps, their order, signals during wait and read, exit codes.
trap 'echo usr1' USR1
kill -USR1 $$; echo after
trap 'echo usr2' USR2; (sleep 0.1; kill -USR2 $$) & sleep 0.5; wait
(sleep 0.1; kill -USR1 $$) & sleep 1 & s=$!; wait $s; echo "wait interrupted $?"; wait $s; echo "then $?"
trap '' HUP; kill -HUP $$; echo ignored; bash -c 'kill -HUP $$; echo "inherits ignore"'
trap - HUP; bash -c 'kill -HUP $$; echo no'; echo "hup $?"
trap 'echo exit trap in subshell' EXIT; (trap 'echo sub' EXIT; exit 3); echo "sub $?"; trap - EXIT
trap 'echo "err at $LINENO"' ERR; false; true; trap - ERR
f() { trap 'echo return' RETURN; }; f; trap - RETURN
trap 'n=$((n + 1))' DEBUG; n=0; :; :; trap - DEBUG; echo "debug $n"
trap 'c=$((c + 1))' CHLD; c=0; set -m; /bin/true; /bin/true & wait; set +m; trap - CHLD; [ "$c" -ge 1 ] && echo "chld"
bash -c 'trap "echo term; exit 9" TERM; kill $$; sleep 5'; echo "nine $?"
bash -c 'trap "echo bye" EXIT; exit 4'; echo "four $?"
bash -c 'trap "echo int" INT; kill -INT $$; echo "goes on"'
bash -c 'trap "echo bye" EXIT; kill -TERM $$; sleep 5'; echo "term $?"
bash -c 'set -e; false; echo no'; echo "errexit $?"
bash -c 'set -u; echo $nothing; echo no' 2>/dev/null; echo "nounset $?"
timeout 0.3 bash -c 'trap "echo got term; exit 1" TERM; while :; do sleep 0.05; done'; echo "timeout $?"
timeout -s INT 0.2 sleep 10; echo "timeout int $?"
timeout -k 0.2 0.2 bash -c 'trap "" TERM; while :; do sleep 0.05; done'; echo "timeout kill $?"
timeout --preserve-status 0.2 sleep 10; echo "preserved $?"
trap -p USR1
for s in 1 2 3; do kill -USR1 $$; done
count=0; trap 'count=$((count + 1))' USR1
for i in $(seq 20); do kill -USR1 $$; done; echo "counted $count"
bash -c 'for i in 1 2 3; do kill -USR1 $PPID; sleep 0.05; done'; echo "now $count"
read -r -t 0.1 x < <(sleep 1); echo "read -t $?"
read -r -t 5 x < <(echo fast); echo "read $? $x"
mkfifo p; (sleep 0.1; echo late >p) & read -r x <p; echo "$x"; wait
exec 5<>p; read -r -t 0.1 -u 5 x; echo "read -t of a fifo $?"; echo in >&5; read -r -t 2 -u 5 x; echo "$x"
(sleep 0.1; kill -USR1 $$) & count=0; read -r -t 1 -u 5 x; echo "read with a signal $?, $count"
echo abcdef >&5; read -r -n 3 -u 5 x; echo "$x"; read -r -N 4 -u 5 y; echo "$y" | tr '\n' .; echo
exit 0
