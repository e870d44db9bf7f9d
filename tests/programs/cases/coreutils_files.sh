#!/bin/bash
# The file programs of coreutils. Sizes of directories and numbers of inodes are the file system's own and not printed.
touch -d '2020-01-02 03:04:05.678' a; stat -c '%n %s %a %A %F %h %U %G %u %g %y %Y' a; ls -l --time-style=full-iso a
ls -ld --time-style=+%F a | cut -d' ' -f1-7; touch -r a b; stat -c %y b; touch -a -d @5 b; stat -c '%X %Y' b; touch -c nocreate; ls nocreate
echo data >f; chmod 640 f; stat -c %a f; chmod u+x,g-r,o=w f; stat -c %A f; chmod 4755 f; stat -c %A f; chmod 2755 f; stat -c %A f
mkdir -m 1777 sticky; stat -c '%A %F' sticky; chmod --reference=sticky f; stat -c %a f; chmod -R 700 sticky; chmod 644 f
chown 1:2 f && stat -c '%u:%g' f; chown 0 f; chgrp 0 f; stat -c '%u:%g' f; chown -h 3:4 nosuch; ln -s f lf; chown -h 3:4 lf; stat -c '%u:%g %F' lf; stat -Lc '%u:%g' lf
ln f hard; stat -c %h f; ln -s f soft; readlink soft; readlink -f soft | sed 's,.*/,,'; ln -s f soft; ln -sf a soft; readlink soft; ln -sfn d dl; readlink dl; ln nosuch x
[ "$(stat -c %i f)" = "$(stat -c %i hard)" ] && echo 'same inode'; rm hard; stat -c %h f; link f h2; unlink h2; realpath -m --relative-to=/a/b /a/c/d
mkdir -p d/e/f; mkdir d; mkdir -v n; rmdir -v n; rmdir d; rmdir -p d/e/f; ls d; mkdir -p d/e; echo 1 >d/1; echo 2 >d/e/2; ln -s ../f d/l; mkfifo d/p; chmod 600 d/1; touch -d @1000 d/1
cp f g; cp -v f g; cp -n g f; cp -r d copy; cp -a d arch; for x in copy arch; do (cd $x; find . -printf '%P %y %m %l\n' | sort); done; stat -c '%a %Y' arch/1
cp -p a keep; stat -c %Y keep; cp -l f hardcopy; stat -c %h f; cp -s "$PWD/f" symcopy; readlink symcopy | sed 's,.*/,,'; cp d x; cp nosuch x; cp -t d f a; ls d; cp --parents d/e/2 arch/; ls arch/d/e; cp -u a f; cp --backup=numbered f g; ls g*
cp --sparse=always <(head -c 100000 /dev/zero) sp 2>/dev/null; truncate -s 1M hole; cp --sparse=always hole hole2; stat -c '%s %b' hole2; cp --reflink=auto f rl; cmp f rl && echo cloned
mv g moved; mv -v moved d/; mv -n f d/1; cat d/1; mv nosuch x; mv d/e d/1; mv arch renamed; ls -d renamed arch; mv renamed/1 renamed/one; ls renamed; mkdir target; mv -t target a b; ls target; mv target/* .; mv d d/e
rm -v b; rm nosuch; rm -f nosuch; rm d; rm -r copy; ls copy; rm -rv renamed | sort; mkdir ro; touch ro/x; chmod 555 ro; rm -rf ro; ls ro; rmdir nosuch
mktemp -u XXXX | tr -c '\n' x; t=$(mktemp); stat -c '%a %s %F' $t; rm $t; t=$(mktemp -d); stat -c '%a %F' $t; rmdir $t; mktemp -p nosuch 2>&1 | sed 's/\..*’/X/'
dd if=/dev/zero of=z bs=1k count=8 status=none; stat -c %s z; dd if=/dev/zero of=z bs=512 seek=20 count=1 conv=notrunc status=none; stat -c %s z; echo abcdef | dd bs=1 skip=2 count=3 status=none; echo; echo abc | dd conv=ucase status=none; dd if=z of=z2 bs=4k 2>&1 | head -2; echo x | dd of=z conv=notrunc,fsync status=none; head -c 3 z | od -c; dd if=/dev/urandom bs=100 count=1 status=none | wc -c; dd if=nosuch; seq 1000 | dd bs=100 iflag=fullblock count=2 status=none | md5sum; dd if=f of=app oflag=append conv=notrunc status=none; cat app
truncate -s 100 tr; stat -c %s tr; truncate -s +50 tr; stat -c %s tr; truncate -s '<10' tr; stat -c %s tr; fallocate -l 8192 fa && stat -c '%s' fa; fallocate -p -o 0 -l 4096 fa && echo punched
shred -u -n 1 tr; ls tr; du -b f; du --apparent-size -b sp >/dev/null; du -sh nosuch; seq 100 >u; du -k u | cut -f2; df . >/dev/null && echo df; df --output=target / | tail -1; sync; sync f && echo synced
ls; ls -a | head -2; ls -1F | head -30; ls -p -d d f; ls -R d; ls -r d; ls -S -1 f u hole; ls -t -1 a keep f | tail -2; ls -m d; ls -x -w 40; ls -Q f; ls --color=always -d d f soft; ls -n f | cut -d' ' -f3,4; ls -i f | grep -cE '^[0-9]+ f'; ls -l d/p | cut -c1; ls -l /dev/null | cut -c1-12; ls -lH soft | cut -c1; ls -s nosuch
install -m 751 -D f in/st/all; stat -c %a in/st/all; install -d x1/x2; ls x1; mknod fifo p; stat -c %F fifo; mkfifo -m 600 fifo2; stat -c %a fifo2; mkfifo fifo2; chmod 000 u; stat -c %A u; stat -f -c %l . >/dev/null && echo statfs; stat nosuch; readlink f; echo $?
touch /nosuchdir/x; touch "$(printf '%0300d' 0)" 2>&1 | sed 's/0\{300\}/LONG/'; mkdir "$(printf '%0255d' 0)" && echo 255; : >'sp ace'; : >$'new\nline'; ls -b sp* new*; ls "sp ace"; pwd -P | sed 's/\..*//'; cd d; pwd -L | sed 's,.*/,,'; cd -P . && cd .. && ls -d f
deep=.; for i in $(seq 40); do deep=$deep/dddddddddd; done; mkdir -p $deep && echo deep; find dddddddddd | wc -l; rm -r dddddddddd; ln -s loop1 loop2; ln -s loop2 loop1; cat loop1; ls loop1; cd loop1; cat d; cat f/x
for i in $(seq 300); do : >many$i; done; ls many* | wc -l; rm many*; ls many* 2>/dev/null | wc -l
exit 0
