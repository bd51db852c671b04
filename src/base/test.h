/* What every unit test includes: cmocka, with what it wants before it. */
#ifndef ROGER_BASE_TEST_H
#define ROGER_BASE_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* Last. */
#include <cmocka.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

#endif
