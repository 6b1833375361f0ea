/* Stellaris LM3S6965 (Cortex-M3, 64 KB RAM), as qemu has it. Its flash cannot be written there: components are kept in
 * RAM, and in a file of the emulator's host. */
#define BOARD_NAME "lm3s6965evb"
#define BOARD_CORE "cortex-m3"
#define WASM_FLOAT 1
#define FLASH_SECTOR 1024u
#define SLOT_BYTES (8u * 1024u)
#define ARENA_BYTES (28u * 1024u)
#define LINEAR_MEMORY_BYTES (8u * 1024u)
#define WASM_STACK_BYTES 2048u
#define EXCHANGE_BYTES 2048u
#define VARIABLE_BYTES 256u
#define BODY_BYTES 1024u
#define DOCUMENT_BYTES 640u
#define LOG_BYTES 512u
#define BLOCK_SZX 5u
#define CALL_STEPS 2000000u
#define CALL_MS 1000u
