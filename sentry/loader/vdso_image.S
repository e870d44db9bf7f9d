// The vDSO as it was linked (CMakeLists.txt), read-only data of the sentry.
    .section .rodata.moat_vdso, "a", @progbits
    .balign 16
    .globl moat_vdso_image, moat_vdso_image_end
    .hidden moat_vdso_image, moat_vdso_image_end
moat_vdso_image:
    .incbin MOAT_VDSO_IMAGE
moat_vdso_image_end:
    .section .note.GNU-stack, "", @progbits
