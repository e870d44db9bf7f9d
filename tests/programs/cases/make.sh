#!/bin/bash
# needs: make gcc
# make -j4 of a generated project, incremental builds, failures.
mkdir src; for i in $(seq 12); do echo "int f$i(int x) { return x + $i; }" >src/f$i.c; echo "int f$i(int);" >src/f$i.h; done
{ for i in $(seq 12); do echo "#include \"f$i.h\""; done; echo '#include <stdio.h>'; echo 'int main(void) { int x = 0;'; for i in $(seq 12); do echo "x = f$i(x);"; done; echo 'printf("%d\n", x); return 0; }'; } >src/main.c
cat >Makefile <<'END'
SRC := $(sort $(wildcard src/*.c))
OBJ := $(SRC:src/%.c=o/%.o)
prog: $(OBJ)
	@$(CC) -o $@ $^
	@echo linked
o/%.o: src/%.c | o
	@$(CC) -MMD -O1 -c -o $@ $<
o:
	@mkdir -p $@
-include $(OBJ:.o=.d)
.PHONY: fail sub clean
fail:
	@exit 3
sub:
	@$(MAKE) -C sub --no-print-directory
clean:
	rm -rf o prog
info:
	@echo $(shell seq 3 | tr '\n' +) $(words $(OBJ)) $(MAKELEVEL)
END
mkdir sub; printf 'all: a b c\na b c:\n\t@sleep 0.0$$((1 + 1)); echo $@ >$@\n' >sub/Makefile
make -j4; ./prog; make; touch src/f3.h; make -j4 -n | grep -c .; sed -i 's/+ 3/+ 300/' src/f3.c; make -j4; ./prog; make fail; echo $?; make -k fail nosuch; echo $?; make -j4 sub; cat sub/a sub/b sub/c; make info; make -s clean; ls; make -q; echo $?; make -j4 --output-sync prog | tail -1; make -s clean; make -j --load-average=100 prog | tail -1; echo 'x: ; @kill -TERM $$' | make -f - x 2>&1 | sed 's,/tmp/Gm[A-Za-z0-9]*,FILE,'; echo ${PIPESTATUS[1]}; make -p -n | grep -c '^prog:'; make -C nosuch 2>&1 | tail -1
exit 0
