#!/bin/bash
# needs: ltrace gcc
# Tracing library calls by breakpoints in the procedure linkage table.
cat >calls.c <<'END'
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int main(void) {
  char* s = strdup("traced");
  printf("%zu\n", strlen(s));
  free(s);
  return atoi("9");
}
END
gcc -O0 -fno-builtin -no-pie -Wl,-z,lazy -fcf-protection=none -o calls calls.c
ltrace -o log ./calls; echo $?
sed -E 's/0x[0-9a-f]+|[0-9]{5,}/ADDR/g; s/atoi\(.*\)/atoi()/; s/ +/ /g' log
exit 0
