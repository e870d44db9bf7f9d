#!/bin/bash
# Background jobs, wait, wait -n, job control in a script, signals between processes.
sleep 0.1 & wait $!; echo "sleep $?"
(exit 3) & wait $!; echo "three $?"
(exit 1) & p1=$!; (sleep 0.2; exit 2) & p2=$!
wait $p2; echo "second $?"; wait $p1; echo "first $?"
wait; echo "all $?"
wait 999999 2>/dev/null; echo "not a child $?"

(sleep 0.4; exit 4) & (sleep 0.05; exit 5) &
wait -n; echo "first out $?"; wait -n; echo "second out $?"; wait -n; echo "none $?"
for i in 1 2 3 4 5 6 7 8; do (sleep "0.0$i"; exit "$i") & pids+=($!); done
sum=0; for p in "${pids[@]}"; do wait "$p"; ((sum += $?)); done; echo "sum $sum"

sleep 30 & p=$!; sleep 0.1; kill $p; wait $p 2>/dev/null; echo "term $?"
sleep 30 & p=$!; sleep 0.1; kill -9 $p; wait $p 2>/dev/null; echo "kill $?"
sleep 30 & p=$!; kill -STOP $p; sleep 0.1; sed -n 's/^State:\t//p' /proc/$p/status; kill -CONT $p; sleep 0.1
sed -n 's/^State:\t//p' /proc/$p/status; kill -INT $p; kill -0 $p; echo "still there $?"; kill $p; wait $p 2>/dev/null
sleep 30 & p=$!; disown $p; jobs | wc -l; kill $p
kill -l 9 15 17; kill -0 $$; echo "self $?"
kill -0 999999 2>/dev/null; echo "nobody $?"

set -m
sleep 30 & sleep 40 &
jobs | sed 's/  */ /g'
pgid=$(ps -o pgid= -p $! | tr -d ' '); [ "$pgid" = $! ] && echo "own group"
kill -STOP %1; sleep 0.2; jobs | sed 's/  */ /g'
bg %1 >/dev/null; sleep 0.1; jobs -r | wc -l; jobs -s | wc -l
kill %1; wait %1 2>/dev/null; echo "one $?"; kill %2; wait %2 2>/dev/null; echo "two $?"
(sleep 30 | sleep 30) & g=$!; sleep 0.1; kill -TERM -- -$g; wait $g 2>/dev/null; echo "group $?"
set +m

bash -c 'kill -SEGV $$'; echo "segv $?"
bash -c 'kill -USR1 $$'; echo "usr1 $?"
bash -c 'exec nosuchprogram' 2>/dev/null; echo "not found $?"
bash -c 'exec /etc/passwd' 2>/dev/null; echo "not executable $?"
bash -c 'echo $PPID' | grep -qx $$ && echo "parent"
(echo "$BASHPID" >sub; [ "$BASHPID" != $$ ] && echo "another pid")
[ -d /proc/$$ ] && readlink /proc/$$/exe
tr '\0' ' ' </proc/$$/cmdline | sed 's,/.*/cases,CASES,'; echo
exit 0
