#!/bin/bash
# Moat's own unit tests, in Moat. The build's directory comes in MOAT_BUILD.
# In builds with ASan the search for leaks wants ptrace(2), which guests cannot have.
export ASAN_OPTIONS=detect_leaks=0
ran=0
for t in moat_base_util_test moat_base_fiber_test moat_fs_vfs_test moat_fs_tmpfs_test moat_fs_pipe_test moat_sentry_loader_test; do
  f=$(find "$MOAT_BUILD" -name $t -type f -perm -u+x 2>/dev/null | head -1)
  [ -n "$f" ] || continue
  ran=$((ran + 1)); "$f" --gtest_brief=1 2>&1 | grep -E 'PASSED|FAILED' | sed 's/ (.*//'; echo "$t ${PIPESTATUS[0]}"
done
[ $ran -gt 0 ] || exit 77
echo "$ran programs"
exit 0
