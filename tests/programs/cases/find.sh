#!/bin/bash
# findutils.
mkdir -p a/b/c d .hidden; touch a/1.txt a/b/2.TXT a/b/c/3.c d/4.c .hidden/h; ln -s ../a d/link; mkfifo d/p; head -c 5000 /dev/zero >d/big; chmod 600 a/1.txt; touch -d '2001-01-01' a/b/2.TXT
find . | sort; find a -type f | sort; find . -name '*.c' | sort; find . -iname '*.txt' | sort; find . -type l -o -type p | sort
find . -maxdepth 1 | sort; find . -mindepth 3 | sort; find . -path './a/*' -prune -o -print | sort; find . -size +4k; find . -empty | sort; find . -perm 600; find . -newer a/b/2.TXT -name '*.txt'
find . -type f -printf '%P %s %m %u %d %f %h\n' | sort; find a -depth -type d; find . -mtime +1000; find -L d -name 1.txt; find . -lname '*a'; find . -regex '.*/[0-9]\.c' | sort
find . -name '*.c' -exec echo found {} \; | sort; find . -type f -exec ls {} + | sort; find a -type f -execdir echo {} \; | sort; find . -type f -print0 | sort -z | xargs -0 -n2 echo; find . -links +1 -type f; ln a/1.txt hard; find . -samefile hard | sort; find . -inum "$(stat -c %i hard)" | wc -l
find . -name '*.TXT' -delete; find . -iname '*.txt' | sort; find nosuch; echo $?; find . -user root -group root | wc -l; find . -nouser; find . -writable -type f | wc -l; find . -quit; find . ! -type d -a -name 'h*' | sort; find . -type f -ok true \; </dev/null 2>/dev/null; echo $?
for i in $(seq 500); do echo $i >d/f$i; done; find d -name 'f*' | wc -l; find d -name 'f*' -print0 | xargs -0 cat | awk '{s+=$1} END {print s}'; find d -name 'f*' | xargs -P 4 -n 50 cat | sort -n | md5sum; find d -name 'f*' -delete; find d -name 'f*' | wc -l
find /usr/include -maxdepth 1 -name 'std*.h' | sort; find /proc/self/fd -maxdepth 0; find /dev/null -type c; find / -maxdepth 1 -name etc
exit 0
