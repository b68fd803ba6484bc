/* SPDX-License-Identifier: ISC */
/* What every unit test includes: cmocka, in the order that it wants. */
#ifndef KP_TESTS_UNIT_TEST_H
#define KP_TESTS_UNIT_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif
