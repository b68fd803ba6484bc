/* SPDX-License-Identifier: ISC */
/* A command line has 512 octets (RFC 5321 4.5.3.1.4); attributes that do not fit go by another. */
#include "lib/mail/xforward.h"

#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "lib/mail/esmtp.h"

enum { LINE_MAX = 510 };

static const char verb[] = "XFORWARD";
static const char *const names[XFORWARD_ATTRIBUTES] = {
    [XFORWARD_NAME] = "NAME",
    [XFORWARD_ADDR] = "ADDR",
    [XFORWARD_PORT] = "PORT",
    [XFORWARD_PROTO] = "PROTO",
    [XFORWARD_HELO] = "HELO",
    [XFORWARD_IDENT] = "IDENT",
    [XFORWARD_SOURCE] = "SOURCE",
};

unsigned
xforward_offered(struct str words)
{
	unsigned offered = 0;
	struct str word;

	while (str_word(&words, " ", &word))
		for (size_t i = 0; i < NELEM(names); i++)
			if (str_caseis(word, names[i]))
				offered |= 1U << i;
	return offered;
}

static int
put(const struct xforward *x, size_t i, struct buf *line)
{
	const char *value = x->values[i] != NULL ? x->values[i] : "";
	bool v6 = i == XFORWARD_ADDR && strchr(value, ':') != NULL;
	size_t before = line->n;

	if (buf_printf(line, " %s=%s", names[i], v6 ? "IPV6:" : "") == 0 &&
	    (value[0] == '\0' ? buf_puts(line, "[UNAVAILABLE]")
			      : xtext_encode(str_from(value), line)) == 0)
		return 0;
	buf_cut(line, before);
	return -1;
}

bool
xforward_command(const struct xforward *x, unsigned offered, size_t *next, struct buf *out)
{
	struct buf line;

	buf_init(&line, LINE_MAX - (sizeof verb - 1));
	for (; *next < XFORWARD_ATTRIBUTES; ++*next)
		if ((offered & 1U << *next) != 0 && put(x, *next, &line) == -1 && line.n > 0)
			break; /* in the next one; one that alone is too long is left out */
	bool some = line.n > 0;
	if (some && (buf_puts(out, verb) == -1 || buf_str(out, buf_view(&line)) == -1))
		some = false;
	buf_free(&line);
	return some;
}
