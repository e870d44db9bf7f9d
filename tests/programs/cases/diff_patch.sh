#!/bin/bash
# needs: diff patch cmp
seq 50 >a; sed -e '10d' -e '20s/$/ changed/' -e '30i\new' a >b
diff a b; echo $?; diff -u --label a --label b a b >p; cat p; diff -q a b; diff -y -W 20 --suppress-common-lines a b; diff -c --label a --label b a b | wc -l; diff a a; echo $?; diff a nosuch; echo $?; diff - b <a | wc -l
cp a c; patch c <p; cmp b c && echo patched; patch -R c <p; cmp a c && echo reversed; patch --dry-run c <p; sed -i '10s/.*/conflict/' c; patch -f c <p; echo $?; cat c.rej; ls c*; patch -o out a <p; cmp out b && echo output
mkdir x y; cp a x/f; cp b y/f; echo only >y/new; mkdir y/sub; diff -r x y; diff -ruN x y | sed 's/\t.*//' >tree.patch; cat tree.patch; (cd x; patch -p1 <../tree.patch; ls; cmp f ../y/f && echo same); diff -r x y
diff3 -m a b a | md5sum; sdiff -s a b | wc -l; cmp a b; cmp -l a b | wc -l; cmp a b -n 5 && echo prefix; printf '\0\1' >bin1; printf '\0\2' >bin2; diff bin1 bin2; diff -w <(echo 'a  b') <(echo 'a b') && echo white; diff -e a b; ed_script=$(diff -e a b); echo "$ed_script" | wc -l; comm -13 <(sort a) <(sort b); chmod 444 c; patch -R c </dev/null; interdiff 2>/dev/null; echo end
exit 0
