/* SPDX-License-Identifier: ISC */
/* Filling a `struct why`; text is cut at its size and cleaned of control characters, never refused.
 */
#include "lib/base/why.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/str.h"

static void fill(struct why *why, enum why_class class, const char *code, const char *fmt,
    va_list ap) KP_PRINTF(4, 0);

static void
fill(struct why *why, enum why_class class, const char *code, const char *fmt, va_list ap)
{
	why->class = class;
	why->smtp = 0;
	snprintf(why->code, sizeof why->code, "%s", code != NULL ? code : "");
	if (vsnprintf(why->text, sizeof why->text, fmt, ap) < 0)
		why->text[0] = '\0';
	str_mask_control(why->text, strlen(why->text));
}

int
why_temp(struct why *why, const char *code, const char *fmt, ...)
{
	va_list ap;

	if (why == NULL)
		return -1;
	va_start(ap, fmt);
	fill(why, WHY_TEMP, code, fmt, ap);
	va_end(ap);
	return -1;
}

int
why_perm(struct why *why, const char *code, const char *fmt, ...)
{
	va_list ap;

	if (why == NULL)
		return -1;
	va_start(ap, fmt);
	fill(why, WHY_PERM, code, fmt, ap);
	va_end(ap);
	return -1;
}

int
why_sys(struct why *why, const char *code, const char *fmt, ...)
{
	va_list ap;
	const char *reason = strerror(errno);

	if (why == NULL)
		return -1;
	va_start(ap, fmt);
	fill(why, WHY_TEMP, code, fmt, ap);
	va_end(ap);
	size_t n = strlen(why->text);
	snprintf(why->text + n, sizeof why->text - n, ": %s", reason);
	return -1;
}

int
why_smtp(const struct why *why)
{
	if (why->smtp != 0)
		return why->smtp;
	return why->class == WHY_PERM ? 550 : 451;
}
