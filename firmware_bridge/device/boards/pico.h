/* Raspberry Pi Pico (RP2040, Cortex-M0+, 264 KB RAM, 2 MB flash). Components are kept in its own flash. */
#define BOARD_NAME "pico"
#define BOARD_CORE "cortex-m0plus"
#define WASM_FLOAT 1
#define FLASH_SECTOR 4096u
#define SLOT_BYTES (128u * 1024u)
#define ARENA_BYTES (128u * 1024u)
#define LINEAR_MEMORY_BYTES (64u * 1024u)
#define WASM_STACK_BYTES 8192u
#define EXCHANGE_BYTES 8192u
#define VARIABLE_BYTES 1024u
#define BODY_BYTES 4096u
#define DOCUMENT_BYTES 1024u
#define LOG_BYTES 1024u
#define BLOCK_SZX 5u
#define CALL_STEPS 500000u
#define CALL_MS 1000u
#define BOARD_RESETS_ITSELF 1
