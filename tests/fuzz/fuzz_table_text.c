/* SPDX-License-Identifier: ISC */
/* The texts of tables: the first byte chooses texthash, words, cidr, pcre or inline; what loads is
 * asked. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/io.h"
#include "lib/base/mem.h"
#include "lib/base/panic.h"
#include "lib/base/why.h"
#include "lib/table/table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const types[] = {"texthash", "words", "cidr", "pcre"};

static void
ask(struct str spec)
{
	static const char *const keys[] = {"a", "joe@example.org", "10.1.2.3", "2001:db8::1"};
	struct why why;
	struct buf out;
	struct table *t = table_open(spec, "", &why);

	if (t == NULL)
		return;
	buf_init(&out, TABLE_VALUE_MAX);
	for (size_t i = 0; i < NELEM(keys); i++)
		if (table_lookup(t, str_from(keys[i]), NULL, &out, &why) == TABLE_ERROR &&
		    why.class != WHY_TEMP)
			panic("an error that is not temporary");
	buf_free(&out);
	table_free(&t);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	if (data[0] % 5 == 4) {
		char *spec = xasprintf("inline:%.*s", (int)size - 1, (const char *)data + 1);
		ask(str_from(spec));
		free(spec);
		return 0;
	}
	int fd = memfd_create("table", 0);
	if (fd == -1 || write_all(fd, data + 1, size - 1) == -1)
		fatal_sys("memfd");
	char *spec = xasprintf("%s:/proc/self/fd/%d", types[data[0] % 5], fd);
	ask(str_from(spec));
	free(spec);
	close(fd);
	return 0;
}
