/* Netduino Plus 2 (STM32F405, Cortex-M4F, 128 KB RAM), as qemu has it; see lm3s6965evb.h about its flash. */
#define BOARD_NAME "netduinoplus2"
#define BOARD_CORE "cortex-m4"
#define WASM_FLOAT 1
#define FLASH_SECTOR 2048u
#define SLOT_BYTES (20u * 1024u)
#define ARENA_BYTES (52u * 1024u)
#define LINEAR_MEMORY_BYTES (24u * 1024u)
#define WASM_STACK_BYTES 4096u
#define EXCHANGE_BYTES 4096u
#define VARIABLE_BYTES 512u
#define BODY_BYTES 2048u
#define DOCUMENT_BYTES 1024u
#define LOG_BYTES 1024u
#define BLOCK_SZX 5u
#define CALL_STEPS 2000000u
#define CALL_MS 1000u
