#!/bin/busybox sh
# needs: busybox
# A static program that is all programs: its shell, pipelines and applets.
b=/bin/busybox; [ -x $b ] || b=/usr/bin/busybox
$b seq 1 1000 | $b sort -rn | $b head -3; $b yes | $b head -100000 | $b wc -l; echo hello | $b tr a-z A-Z | $b rev
$b seq 3000 | while read -r n; do [ $((n % 1000)) = 0 ] && echo $n; done; for i in 1 2 3; do (exit $i) & wait $!; echo $?; done
$b sleep 10 & $b sleep 0.1; { kill $!; wait $!; } 2>/dev/null; echo $?; trap 'echo trapped' USR1; kill -USR1 $$; x=$($b date -u -d @0 +%F); echo "$x"; $b cat <<END | $b sed 's/a/b/'
a here-document
END
$b mkdir -p a/b; echo data >a/f; $b ln -s f a/l; $b cp -a a c; $b find a c -type f | $b sort; $b tar c a | $b tar t; $b gzip -c a/f | $b gunzip; $b md5sum a/f; $b diff a/f /dev/null; $b awk 'BEGIN { print 6 * 7 }'; $b grep -c root /etc/passwd; $b stat -c '%a %s' a/f; $b dd if=/dev/zero of=z bs=1k count=10 2>/dev/null; $b wc -c z; $b ls a; $b rm -r a c; $b ls; $b xargs echo <z 2>/dev/null | $b wc -l; $b printf '%05d\n' 42; $b base64 z | $b tail -1; $b expr 2 + 2; $b mkfifo p; $b cat p & echo fifo >p; wait; $b timeout 1 $b sleep 5; echo $?; $b nice -n 3 $b nice; $b test -p p && echo fifo; $b vi --nosuch 2>/dev/null; $b sh -c 'kill -9 $$'; echo $?; $b nosuchapplet; echo $?; $b id -u; $b uname -s; $b ps | $b grep -c . >/dev/null && echo ps; $b env -i A=b $b env; $b od -c z | $b head -1; $b cmp z z && echo same; echo 1 2 3 | $b xargs -n1 echo; $b usleep 1000; $b mktemp -u | $b wc -c; $b bc <<END
2^10
END
exit 0
