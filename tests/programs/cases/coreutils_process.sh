#!/bin/bash
# Programs about processes and the system: only what is the same in any sandbox is printed.
timeout 0.1 sleep 5; echo "$?"; timeout 5 true; echo "$?"; timeout 1 sh -c 'exit 3'; echo "$?"; timeout 1 nosuch 2>/dev/null; echo "$?"; timeout 1 /etc/passwd 2>/dev/null; echo "$?"
nohup sh -c 'echo nohup; kill -HUP $$; echo survived' 2>/dev/null | cat
nice; nice -n 5 nice; nice -n 5 nice -n 3 nice; nice -n 19 sh -c 'cut -d" " -f19 /proc/self/stat'
env -i A=1 B=2 env | sort; env -u HOME sh -c 'echo "${HOME-unset}"'; env X=y printenv X; env --chdir=/ pwd; env nosuch 2>/dev/null; echo "$?"; env -i /bin/sh -c 'echo $A-'
printenv HOME | sed 's/.*moat-case.*/case/'; env --ignore-signal=TERM sh -c 'kill -TERM $$; echo lives'
id -u; id -g; id -un; id; groups; whoami; logname 2>&1 | sed 's/.*: //' | head -1 >/dev/null; id nobody; id nosuchuser
[ "$(nproc)" -ge 1 ] && echo nproc; uname -s -m; uname -o; arch; tty; tty -s; echo "$?"; stty 2>&1 | head -1
sleep 0.1 && echo slept; sleep 0.05 0.05; sleep x 2>&1 | head -1; true; echo "$?"; false; echo "$?"
kill -l | head -1 | cut -c1-20; /bin/kill -l TERM; sh -c '/bin/kill -9 $$'; echo "$?"; 
stdbuf -oL echo line; chroot / /bin/echo rooted; setsid -w sh -c 'echo session'; setsid -w sh -c 'exit 4'; echo "$?"
[ "$(setsid -w sh -c 'ps -o sid= -p $$ | tr -d " "; echo $$' | uniq | wc -l)" = 1 ] && echo leader
unshare -U true 2>/dev/null; flock lockfile echo locked; (flock -n 9 && echo got; flock -n lockfile echo no; echo "busy $?") 9>lockfile
(flock 9; sleep 0.3; echo first) 9>lk & sleep 0.1; (flock 9; echo second) 9>lk; wait
ionice -p $$ >/dev/null && echo ionice; taskset -p $$ | sed 's/.*: .*/mask/'; taskset -c 0 nproc; chrt -p $$ | sed 's/.*pid.*policy/policy/' | head -1; prlimit -n --raw --noheadings -p $$ | wc -l; renice -n 4 -p $$ >/dev/null && nice
getconf PAGESIZE; getconf ARG_MAX >/dev/null && echo argmax; getconf _NPROCESSORS_ONLN | grep -c .; getent passwd root; getent hosts localhost | head -1 | sed 's/.* //' ; getent services http/tcp | sed 's/  */ /'
ps -o args= -p $$ | sed 's,/.*/cases,CASES,'; ps -e | wc -l | grep -qE '^[0-9]+$' && echo ps; pgrep -P $$ -c sleep; sleep 5 & pgrep -P $$ sleep | grep -cx $!; pkill -P $$ sleep; wait $! 2>/dev/null; echo "$?"; ps -o stat= -p $$ | cut -c1
free >/dev/null && echo free; uptime >/dev/null && echo uptime; vmstat >/dev/null 2>&1 && echo vmstat; top -b -n 1 >/dev/null && echo top; pidof -s nosuchthing; echo "$?"; pwdx $$ | sed 's/.*moat-case.*/case/'
cat /proc/self/comm; readlink /proc/self/cwd | sed 's/\..*//'; cat /proc/sys/kernel/ostype; head -1 /proc/meminfo | cut -d: -f1; grep -c ^processor /proc/cpuinfo | grep -c .; grep -o '^Name.*' /proc/self/status; wc -l </proc/self/maps | grep -c .; grep -c stack /proc/self/maps; ls /proc/self/fd | grep -c '^[012]$'; ls /proc/self/task | wc -l; cat /proc/self/oom_score_adj; [ -s /proc/self/mounts ] && echo mounts
head -c 16 /dev/urandom | wc -c; head -c 8 /dev/zero | od -An -tx1; echo x >/dev/full; echo "$?"; cat /dev/null | wc -c; echo out >/dev/stdout; echo err >/dev/stderr; echo in | cat /dev/stdin; echo fd | cat /dev/fd/0; test -c /dev/tty && echo tty; ls /dev/shm | wc -l; echo s >/dev/shm/x; cat /dev/shm/x; rm /dev/shm/x; ls -ld /dev/pts | cut -c1; ls -l /dev/fd | sed 's/.*-> //'
hostname >/dev/null && echo hostname; dmesg >/dev/null 2>&1; ls / | grep -cE '^(bin|etc|usr|tmp|proc|dev|sys)$'; date +%Y | grep -c ^20; who >/dev/null; users; lsblk >/dev/null 2>&1; cal 2>/dev/null | wc -l >/dev/null
exit 0
