/* SPDX-License-Identifier: ISC */
/*
 * The address parsers: paths and lists. Whatever they accept is free of control characters, within
 * its bounds, and parses again to itself.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "lib/base/panic.h"
#include "lib/mail/address.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(const struct addr *a)
{
	struct addr again;

	if (a->n > ADDR_TEXT_MAX || a->local_n > a->n || strlen(a->text) != a->n)
		panic("bounds");
	for (size_t i = 0; i < a->n; i++)
		if ((unsigned char)a->text[i] < ' ' || a->text[i] == 0x7f)
			panic("a control character");
	if (addr_mailbox(&again, addr_text(a), ADDR_UTF8 | ADDR_NULL | ADDR_NO_DOMAIN, NULL) == -1)
		panic("does not parse again: %s", a->text);
	if (!str_eq(addr_text(a), addr_text(&again)) || again.local_n != a->local_n)
		panic("not canonical: %s, %s", a->text, again.text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct addr a;
	struct addr_list l;
	size_t used;

	if (size < 1)
		return 0;
	unsigned flags = data[0] & 31u;
	struct str in = str_make((const char *)data + 1, size - 1);
	if (addr_path(&a, in, flags, &used, NULL) == 0) {
		if (used > in.n)
			panic("used more than there was");
		check(&a);
	}
	addr_list_init(&l, in, flags);
	while (addr_list_next(&l, &a, NULL) == 1)
		check(&a);
	return 0;
}
