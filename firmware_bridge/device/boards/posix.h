/* A process on a POSIX machine, for tests and for trying things out. */
#define BOARD_NAME "posix"
#define BOARD_CORE "native"
#define WASM_FLOAT 1
#define FLASH_SECTOR 4096u
#define SLOT_BYTES (128u * 1024u)
#define ARENA_BYTES (1024u * 1024u)
#define LINEAR_MEMORY_BYTES (128u * 1024u)
#define WASM_STACK_BYTES (16u * 1024u)
#define EXCHANGE_BYTES 16384u
#define VARIABLE_BYTES 1024u
#define BODY_BYTES 8192u
#define DOCUMENT_BYTES 1024u
#define LOG_BYTES 1024u
#define BLOCK_SZX 5u
#define CALL_STEPS 20000000u
#define CALL_MS 1000u
