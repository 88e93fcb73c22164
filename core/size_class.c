/* size_class.c - the tables of size_class.h; tests/core/size_class_test.c checks them against the rule. */
#include "core/size_class.h"

const uint32_t size_class_bytes[SIZE_CLASS_COUNT] = {
    /* clang-format off */
    16, 32, 48, 64, 80, 96, 112, 128,
    160, 192, 224, 256, 320, 384, 448, 512,
    640, 768, 896, 1024, 1280, 1536, 1792, 2048,
    2560, 3072, 3584, 4096, 5120, 6144, 7168, 8192,
    10240, 12288, 14336,
    /* a line longer */
    16448, 20544, 24640, 28736, 32832, 41024, 49216, 57408,
    65600, 81984, 98368, 114752, 131136, 163904, 196672, 229440,
    262208, 327744, 393280, 458816, 524352,
    /* for alignment */
    16384, 32768, 49152, 65536, 98304, 131072, 262144, 524288,
    /* clang-format on */
};

#define TWO(c)      c, c
#define SIXTEEN(c)  TWO(c), TWO(c), TWO(c), TWO(c), TWO(c), TWO(c), TWO(c), TWO(c)
#define STEP_32(c)  SIXTEEN(c), SIXTEEN(c)
#define STEP_64(c)  STEP_32(c), STEP_32(c)
#define STEP_128(c) STEP_64(c), STEP_64(c)

const uint8_t size_class_table[SIZE_CLASS_TABLE_MAX + 1] = {
    0, /* of 0 bytes */
    SIXTEEN(0),  SIXTEEN(1),  SIXTEEN(2),   SIXTEEN(3),   SIXTEEN(4),   SIXTEEN(5),   SIXTEEN(6),
    SIXTEEN(7),  STEP_32(8),  STEP_32(9),   STEP_32(10),  STEP_32(11),  STEP_64(12),  STEP_64(13),
    STEP_64(14), STEP_64(15), STEP_128(16), STEP_128(17), STEP_128(18), STEP_128(19),
};
