/* SPDX-License-Identifier: ISC */
/*
 * limiter's journal as a disk may give it back. Each line of the input gets the checksum that it
 * needs where it begins with a blank, or the fuzzer would never come behind that. What was read
 * once is read again after a rewrite.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <xxhash.h>

#include "lib/base/buf.h"
#include "lib/base/io.h"
#include "lib/base/panic.h"
#include "lib/base/why.h"
#include "limiter/facts.h"

enum { FACTS = 50 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(int rc)
{
	if (rc == -1)
		panic("fuzz_facts");
}

/* The input as a journal, with checksums where they are asked for. */
static void
make_journal(struct str in, struct buf *out)
{
	while (in.n > 0) {
		ptrdiff_t lf = str_chr(in, '\n');
		struct str line = lf >= 0 ? str_sub(in, 0, (size_t)lf) : in;
		if (line.n > 0 && line.p[0] == ' ') {
			struct str rest = str_from_at(line, 1);
			must(buf_printf(out, "%08x", (unsigned)XXH32(rest.p, rest.n, 0)));
		}
		must(buf_str(out, line));
		if (lf >= 0)
			must(buf_byte(out, '\n'));
		in = str_from_at(in, lf >= 0 ? (size_t)lf + 1 : line.n);
	}
}

static void
check_fact(const struct fact *fact, void *arg)
{
	size_t *n = arg;

	if (fact->key == NULL || fact->text == NULL || fact->expires <= 0)
		panic("half a fact");
	++*n;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char folder[] = "/tmp/kp-fuzz-facts-XXXXXX";
	static char path[sizeof folder + sizeof "/facts"];
	struct buf journal = {.max = 1 << 22};
	struct why why;
	size_t n = 0, again = 0;

	if (path[0] == '\0') {
		if (mkdtemp(folder) == NULL)
			panic("fuzz_facts: no folder");
		snprintf(path, sizeof path, "%s/facts", folder);
	}
	make_journal(str_make((const char *)data, size), &journal);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd == -1 || write_all(fd, buf_cstr(&journal), journal.n) == -1)
		panic("fuzz_facts: no journal");
	close(fd);
	buf_free(&journal);

	struct facts *f = facts_open(folder, FACTS, &why);
	if (f == NULL || facts_count(f) > FACTS)
		panic("facts_open");
	facts_each(f, STR("k"), check_fact, &n);
	if (facts_put(f, STR("k"), STR("new"), 1000, 1, STR_EMPTY) == NULL)
		panic("facts_put");
	must(facts_flush(f, &why));
	facts_free(&f);
	f = facts_open(folder, FACTS, &why);
	if (f == NULL || facts_get(f, STR("k"), STR("new")) == NULL)
		panic("what was written is not read");
	facts_each(f, STR("k"), check_fact, &again);
	if (again > n + 1)
		panic("facts out of nothing");
	facts_free(&f);
	unlink(path);
	return 0;
}
