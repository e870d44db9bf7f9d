// moat-sentry: the application kernel of one sandbox. Started by `moat` with the descriptors of boot/config.h.
#include "sentry/boot/boot.h"

int main() { return moat::BootSandbox(); }
