#!/bin/bash
# needs: tar gzip bzip2 xz zstd
# tar and the compressors.
mkdir -p src/a/b; seq 20000 >src/seq; head -c 100000 /dev/zero >src/zero; echo hi >src/a/hi; ln -s hi src/a/soft; ln src/a/hi src/a/hard; chmod 750 src/a/b; mkfifo src/p; touch -d @1000000 src/a/hi src/seq src/zero src/a/b src/a src; truncate -s 1M src/sparse; touch -d @1000000 src/sparse src
tar --sort=name --owner=0 --group=0 --mtime=@0 -cf t.tar src; md5sum t.tar; tar tvf t.tar --full-time | sed 's/  */ /g'; tar -cSf sparse.tar src/sparse; [ $(stat -c %s sparse.tar) -lt 20000 ] && echo sparse
for z in gzip bzip2 xz zstd; do tar --$z --sort=name -cf t.tar.$z src && mkdir x.$z && tar -xf t.tar.$z -C x.$z && diff -r --no-dereference src x.$z/src 2>&1 | grep -v fifo; (cd x.$z; find . -printf '%P %y %m %T@ %l\n' | grep -v -e '^ ' -e soft -e '^src p ' -e '^src/p ' -e hard | sort | md5sum); done
tar -xOf t.tar src/a/hi; tar -xf t.tar --strip-components=2 src/a/hi && cat hi; tar -rf t.tar hi; tar -tf t.tar | tail -1; tar --delete -f t.tar hi; tar -tf t.tar | wc -l; tar -df t.tar >/dev/null; tar -xf t.tar -C nosuch; echo $?; tar -xf nosuch.tar; echo $?; tar cf - src | tar tf - | wc -l; tar -cf - -C src a | (mkdir o; cd o; tar xf -); find o | sort; tar --exclude='*.c' -c src/a | tar t; (cd x.gzip/src; stat -c %h a/hard a/hi)
tar -c --use-compress-program='gzip -9' src/seq | gzip -dc | tar t; tar -cM -L 100 -f v1 -f v2 src/seq src/zero 2>/dev/null; ls v1 v2; tar -tMf v1 -f v2
for z in gzip bzip2 xz zstd; do $z -k -q src/seq -c >s.$z; $z -dc <s.$z | md5sum; $z -t s.$z && echo "$z ok"; head -c 50 s.$z | $z -dc >/dev/null 2>&1; [ $? != 0 ] && echo truncated; done
cp src/seq g; gzip g; ls g.gz; stat -c '%a' g.gz; gunzip g.gz; cmp g src/seq && echo same; gzip -l <(gzip -c g) >/dev/null; gzip nosuch; echo $?; zcat s.gzip | tail -1; xzcat s.xz | tail -1; bzcat s.bzip2 | tail -1; zstdcat s.zstd 2>/dev/null | tail -1
xz -T4 --block-size=50000 -c src/seq | xz -dc | md5sum; zstd -q -T4 -19 -c src/seq | zstd -q -dc | md5sum; gzip -c src/zero | wc -c; split -b 10k s.gzip part.; cat part.* | gzip -dc | md5sum
command -v zip >/dev/null && zip -qr z.zip src/a src/seq && unzip -q -d uz z.zip && diff -r src/a uz/src/a && echo zip; command -v cpio >/dev/null && (find src -depth | cpio -o --quiet | cpio -t --quiet | wc -l); ar r l.a hi g 2>/dev/null && ar t l.a
exit 0
