/* SPDX-License-Identifier: ISC */
/* The two ways a process ends early: its own bug, or a job that it cannot do. */
#ifndef KP_BASE_PANIC_H
#define KP_BASE_PANIC_H

#include "lib/base/attr.h"

/* Our own bug: prints the text and aborts with a core. Never for input. */
void panic(const char *fmt, ...) KP_PRINTF(1, 2) KP_NORETURN;

/* The process cannot do its job: prints the text and exits with EX_TEMPFAIL (75); master starts it
 * again. */
void fatal(const char *fmt, ...) KP_PRINTF(1, 2) KP_NORETURN;

/* As fatal(), with strerror(errno) behind the text. */
void fatal_sys(const char *fmt, ...) KP_PRINTF(1, 2) KP_NORETURN;

/* Where the last words go; lib/log sets it, the default is standard error. */
void panic_set_writer(void (*writer)(const char *text));

#endif
