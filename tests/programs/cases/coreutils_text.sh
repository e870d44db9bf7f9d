#!/bin/bash
# The text programs of coreutils.
seq 100 | shuf --random-source=<(yes) | sort -n | md5sum
printf 'b 2\na 10\nc 1\na 9\n' >t; sort t; sort -k2n t; sort -k1,1 -k2,2nr t; sort -u -k1,1 t; sort -rV t; sort -c t; echo $?
seq 200000 | tac | sort -n --parallel=4 -S 1M -T . | md5sum
for i in 1 1 2 3 3 3; do echo $i; done | uniq -c | sed 's/ */ /'; printf '1\n1\n2\n' | uniq -d; printf '1\n1\n2\n' | uniq -u
cut -d: -f1,3 /etc/passwd | head -3; echo abcdef | cut -c2-4; echo 'a:b:c' | cut -d: -f2- --output-delimiter=_
echo hello | tr a-y b-z; echo 'aa  bb' | tr -s ' a'; echo hello123 | tr -dc 0-9; echo; echo x | tr x '\t' | od -c
seq 20 | head -3; seq 20 | head -n -17; seq 20 | tail -3; seq 20 | tail -n +18; seq 20 | tail -c 6; seq 9 >f9; tail -2 f9; head -c 4 f9
printf 'a b\nc\n' | wc; wc -l -c f9; printf 'αβγ\n' | wc -m; wc -L /dev/null
seq 0 0.5 2; seq -w 8 11; seq -s, 5; seq -f 'n%03g' 3
seq 1000 >s; split -l 300 s part-; wc -l part-*; split -b 1k -d -a 3 s num; ls num*; split -n 3 s thr; cat thr* | cmp - s && echo whole
seq 10 | split -l 5 --filter='sort -rn | head -1' -
seq 20 | csplit -q - 5 '/15/'; wc -l xx*; 
printf '1 a\n2 b\n3 c\n' >j1; printf '1 x\n3 y\n4 z\n' >j2; join j1 j2; join -a1 -a2 -e - -o 0,1.2,2.2 j1 j2
paste j1 j2; paste -sd+ f9; seq 6 | paste - - -; comm <(seq 3) <(seq 2 4); comm -12 <(seq 3) <(seq 2 4)
echo 'a long line of words that has to be folded somewhere' | fold -w 20; echo 'a long line of words to fill' | fmt -w 12
printf 'a\n\nb\n' | nl; printf 'a\n\nb\n' | nl -ba; pr -t -3 -l 4 f9; echo 'a	b' | expand -t 4; echo 'a       b' | unexpand -a
printf 'hello\0\377' | od -An -tx1; printf 'abcdefgh' | od -An -td4 -tx2; head -c 40 s | od -c | tail -2
echo hello | base64; echo aGVsbG8K | base64 -d; seq 50 | base64 -w 20 | md5sum; echo hi | base32; echo hi | basenc --base16
for p in md5sum sha1sum sha224sum sha256sum sha384sum sha512sum b2sum cksum sum; do echo abc | $p; done
sha256sum s f9 >sums; sha256sum -c sums; echo x >>f9; sha256sum -c sums; echo $?
echo 'a b c' | xargs -n1 echo item; seq 5 | xargs -I{} echo '<{}>'; printf 'a b\0c' | xargs -0 -n1 echo; seq 8 | xargs -P4 -n2 echo | sort
seq 3 | xargs sh -c 'echo $#' x; seq 100000 | xargs echo | wc -l; echo | xargs -r echo no; seq 2 | xargs -n1 sh -c 'exit 1'; echo $?
seq 5 | tee t1 t2 | tail -1; cmp t1 t2 && echo same; echo more | tee -a t1; tail -1 t1
seq 10 | tac | head -2; echo abc | rev; seq 100 | tsort 2>/dev/null | head -1; printf 'a b\nb c\n' | tsort
printf 'x,1\ny,22\n' | column -t -s, 2>/dev/null; echo "a b" | ptx | head -2
cat -A <<<$'tab\there\x01'; cat -n t; cat -s <<<$'a\n\n\n\nb'; cat t - t <<<middle
expr 3 + 4 \* 2; expr length hello; expr substr hello 2 3; expr abc : 'a\(.*\)'; expr 1 = 2; echo $?
factor 360 97 18446744073709551557; numfmt --to=iec 1048576 1500; numfmt --from=si 1k 2M; numfmt --grouping 10
printf '%s-%05d-%.2f-%x-%c\n' a 42 2.5 255 z; printf '%b' 'a\x41\n'; echo -e 'a\tb'; echo -n no newline; echo
date -u -d @0; date -u -d '2024-02-28 + 2 days' +%F; date -u -d @86400 +%s; date -u -d '1 Jan 2001 12:34:56' +%T_%j_%U_%A
test 1 -lt 2 && echo lt; test -z '' && echo empty; [ a = b ]; echo $?; dirname /a/b/c; basename /a/b.c .c; pathchk -p 'a b'; echo $?
comm -3 <(printf 'a\nb\n') <(printf 'b\nc\n'); shuf -i 1-5 | sort | tr '\n' ' '; echo; seq 4 | shuf -n 2 | wc -l
cat /nosuch; head /nosuch; sort /nosuch; cut -f1 /nosuch; wc /nosuch; tail /nosuch; echo $?
: >grow; (for i in 1 2 3; do echo $i; sleep 0.1; done; ) >grow & tail -f --pid=$! -s 0.05 -n +1 grow; wait
exit 0
