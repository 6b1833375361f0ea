/* The second stage of the RP2040's start (data sheet, 2.8.1.3): its boot ROM copies these 256 bytes from the start of
 * the flash, checks the CRC at their end and runs them. The flash is read by the plain command 03h, which every chip
 * knows; then the firmware's vectors, just behind, take over. */
  .syntax unified
  .cpu cortex-m0plus
  .thumb
  .section .boot2, "ax"
  .global boot2
boot2:
  ldr r3, =0x18000000       /* XIP_SSI */
  movs r1, #0
  str r1, [r3, #0x08]       /* off while it is set up */
  movs r1, #4
  str r1, [r3, #0x14]       /* clock divided by 4 */
  ldr r1, =0x001F0300       /* 32 bits a frame, "EEPROM read" */
  str r1, [r3, #0x00]
  movs r1, #0
  str r1, [r3, #0x04]
  ldr r1, =0x03000218       /* command 03h of 8 bits, address of 24 bits, one line */
  ldr r0, =0x180000F4
  str r1, [r0]
  movs r1, #1
  str r1, [r3, #0x08]
  ldr r0, =0x10000100
  ldr r1, =0xE000ED08       /* VTOR */
  str r0, [r1]
  ldmia r0, {r0, r1}
  msr msp, r0
  bx r1
  .pool
  .space 252 - (. - boot2)
  .word BOOT2_CRC
