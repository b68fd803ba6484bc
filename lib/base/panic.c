/* SPDX-License-Identifier: ISC */
/*
 * The last words of a process. Whatever happens, they go to the writer that lib/log
 * installed, or to standard error before that; nothing here allocates memory.
 */
#include "lib/base/panic.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

static void write_stderr(const char *text);

static void (*last_words)(const char *) = write_stderr;

static void
write_stderr(const char *text)
{
	/* Nobody is left to tell when standard error is gone. */
	(void)!write(STDERR_FILENO, text, strlen(text));
	(void)!write(STDERR_FILENO, "\n", 1);
}

void
panic_set_writer(void (*writer)(const char *text))
{
	last_words = writer != NULL ? writer : write_stderr;
}

static void say(const char *kind, const char *reason, const char *fmt, va_list ap) KP_PRINTF(3, 0);

static void
say(const char *kind, const char *reason, const char *fmt, va_list ap)
{
	char text[1024];
	int n = snprintf(text, sizeof text, "%s: ", kind);

	int m = vsnprintf(text + n, sizeof text - (size_t)n, fmt, ap);
	if (m > 0 && (size_t)(n + m) < sizeof text && reason != NULL)
		snprintf(text + n + m, sizeof text - (size_t)(n + m), ": %s", reason);
	last_words(text);
}

void
panic(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say("panic", NULL, fmt, ap);
	va_end(ap);
	abort();
}

void
fatal(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say("fatal", NULL, fmt, ap);
	va_end(ap);
	exit(EX_TEMPFAIL);
}

void
fatal_sys(const char *fmt, ...)
{
	va_list ap;
	const char *reason = strerror(errno);

	va_start(ap, fmt);
	say("fatal", reason, fmt, ap);
	va_end(ap);
	exit(EX_TEMPFAIL);
}
