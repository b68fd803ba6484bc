/* SPDX-License-Identifier: ISC */
/* The journal of facts: what a restart still knows, and what a torn or changed line costs. */
#include "tests/unit/test.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "lib/base/mem.h"
#include "lib/base/why.h"
#include "limiter/facts.h"

struct place {
	char folder[64], path[80];
};

static int
set_up(void **state)
{
	struct place *p = xcalloc(1, sizeof *p);

	snprintf(p->folder, sizeof p->folder, "/tmp/kp-facts-XXXXXX");
	if (mkdtemp(p->folder) == NULL)
		return -1;
	snprintf(p->path, sizeof p->path, "%s/facts", p->folder);
	*state = p;
	return 0;
}

static int
tear_down(void **state)
{
	struct place *p = *state;
	char scratch[96];

	snprintf(scratch, sizeof scratch, "%s/facts.new", p->folder);
	unlink(p->path);
	unlink(scratch);
	int rc = rmdir(p->folder);
	free(p);
	return rc;
}

static struct facts *
must_open(const struct place *p, size_t max)
{
	struct why why = {0};
	struct facts *f = facts_open(p->folder, max, &why);

	if (f == NULL)
		fail_msg("%s", why.text);
	return f;
}

static void
must_flush(struct facts *f)
{
	struct why why = {0};

	if (facts_flush(f, &why) == -1)
		fail_msg("%s", why.text);
}

static struct facts *
again(const struct place *p, struct facts **f, size_t max)
{
	must_flush(*f);
	facts_free(f);
	return must_open(p, max);
}

static off_t
size_of(const struct place *p)
{
	struct stat st;

	assert_int_equal(stat(p->path, &st), 0);
	return st.st_size;
}

/* Changes the file in place: `n` octets at `at`, from its end where that is negative. */
static void
scribble(const struct place *p, off_t at, const char *octets, size_t n)
{
	int fd = open(p->path, O_WRONLY);

	assert_true(fd != -1);
	assert_int_equal(pwrite(fd, octets, n, at < 0 ? size_of(p) + at : at), (ssize_t)n);
	close(fd);
}

static void
test_kept(void **state)
{
	const struct place *p = *state;
	struct facts *f = must_open(p, 100);

	facts_put(f, STR("block"), STR("address 192.0.2.1"), 60, 3, STR("10 failed logins"));
	facts_put(f, STR("grey"), STR("a b\nc\xff"), 60, 1, STR_EMPTY);
	facts_put(f, STR("grey"), STR("gone"), 60, 1, STR_EMPTY);
	int64_t first = facts_get(f, STR("grey"), STR("gone"))->first;
	facts_put(f, STR("grey"), STR("gone"), 90, 2, STR("x"));
	assert_int_equal(facts_get(f, STR("grey"), STR("gone"))->first, first);
	must_flush(f);
	assert_true(facts_remove(f, STR("grey"), STR("gone")));
	assert_false(facts_remove(f, STR("grey"), STR("gone")));

	f = again(p, &f, 100);
	assert_int_equal(facts_count(f), 2);
	const struct fact *fact = facts_get(f, STR("block"), STR("address 192.0.2.1"));
	assert_non_null(fact);
	assert_string_equal(fact->kind, "block");
	assert_string_equal(fact->key, "address 192.0.2.1");
	assert_string_equal(fact->text, "10 failed logins");
	assert_int_equal(fact->count, 3);
	assert_non_null(facts_get(f, STR("grey"), STR("a b\nc\xff")));
	assert_null(facts_get(f, STR("grey"), STR("gone")));
	assert_null(facts_get(f, STR("block"), STR("a b\nc\xff")));
	facts_free(&f);
}

/* Cut at every octet of the last line: the line before it is always there, and appending goes on.
 */
static void
test_torn(void **state)
{
	const struct place *p = *state;
	struct facts *f = must_open(p, 100);

	facts_put(f, STR("k"), STR("whole"), 60, 1, STR("t"));
	must_flush(f);
	off_t one = size_of(p);
	facts_put(f, STR("k"), STR("torn"), 60, 1, STR("t"));
	f = again(p, &f, 100);
	off_t two = size_of(p);
	facts_free(&f);

	for (off_t cut = two - 1; cut >= one; cut--) {
		assert_int_equal(truncate(p->path, cut), 0);
		f = must_open(p, 100);
		assert_non_null(facts_get(f, STR("k"), STR("whole")));
		assert_null(facts_get(f, STR("k"), STR("torn")));
		facts_free(&f);
	}
	assert_int_equal(truncate(p->path, one + 10), 0);
	f = must_open(p, 100);
	facts_put(f, STR("k"), STR("after"), 60, 1, STR_EMPTY);
	f = again(p, &f, 100);
	assert_non_null(facts_get(f, STR("k"), STR("whole")));
	assert_non_null(facts_get(f, STR("k"), STR("after")));
	facts_free(&f);
}

/* A line with the right checksum may still have been written by somebody else: a NUL in a kind. */
static void
test_foreign_line(void **state)
{
	static const char line[] = " 1 99999999999 3 \0\0\0k 61 62";
	const struct place *p = *state;
	char journal[64];

	int head = snprintf(
	    journal, sizeof journal, "%08x", (unsigned)XXH32(line + 1, sizeof line - 2, 0));
	memcpy(journal + head, line, sizeof line - 1);
	journal[(size_t)head + sizeof line - 1] = '\n';
	struct facts *f = must_open(p, 100);
	facts_free(&f);
	scribble(p, 0, journal, (size_t)head + sizeof line);
	f = must_open(p, 100);
	assert_int_equal(facts_count(f), 0);
	facts_free(&f);
}

/* Each octet of a line changed: the checksum finds it, and the other line is not touched. */
static void
test_changed(void **state)
{
	const struct place *p = *state;
	struct facts *f = must_open(p, 100);
	char old[200];

	facts_put(f, STR("k"), STR("bad"), 60, 1, STR("t"));
	must_flush(f);
	off_t one = size_of(p);
	facts_put(f, STR("k"), STR("good"), 60, 1, STR("t"));
	f = again(p, &f, 100);
	facts_free(&f);
	int fd = open(p->path, O_RDONLY);
	assert_int_equal(pread(fd, old, (size_t)one, 0), one);
	close(fd);
	for (off_t at = 0; at < one - 1; at++) {
		char other = (char)(old[at] ^ 1);
		if (at == 8)
			continue; /* the blank behind the checksum says nothing */
		scribble(p, at, &other, 1);
		f = must_open(p, 100);
		if (facts_get(f, STR("k"), STR("bad")) != NULL)
			fail_msg("octet %d", (int)at);
		assert_int_equal(facts_count(f), 1);
		facts_free(&f);
		scribble(p, at, &old[at], 1);
	}
	f = must_open(p, 100);
	assert_int_equal(facts_count(f), 2);
	facts_free(&f);
}

static void
test_expiry(void **state)
{
	const struct place *p = *state;
	struct facts *f = must_open(p, 100);

	facts_put(f, STR("k"), STR("short"), 1, 7, STR_EMPTY);
	facts_put(f, STR("k"), STR("over"), 0, 7, STR_EMPTY);
	facts_put(f, STR("k"), STR("long"), 60, 7, STR_EMPTY);
	assert_null(facts_get(f, STR("k"), STR("over")));
	assert_non_null(facts_get(f, STR("k"), STR("short")));
	sleep(2);
	must_flush(f); /* its sweep takes it away */
	assert_int_equal(facts_count(f), 1);
	assert_null(facts_get(f, STR("k"), STR("short")));
	f = again(p, &f, 100);
	assert_int_equal(facts_count(f), 1);
	int64_t first = facts_get(f, STR("k"), STR("long"))->first;
	assert_true(facts_put(f, STR("k"), STR("short"), 60, 1, STR_EMPTY)->first > first);
	facts_free(&f);
}

/* The least recently used one goes, in memory and behind a restart with a smaller bound. */
static void
test_bound(void **state)
{
	const struct place *p = *state;
	struct facts *f = must_open(p, 3);
	char key[8];

	for (int i = 0; i < 5; i++) {
		snprintf(key, sizeof key, "%d", i);
		facts_put(f, STR("k"), str_from(key), 60, 1, STR_EMPTY);
		if (i == 2)
			facts_put(f, STR("k"), STR("0"), 60, 2, STR_EMPTY);
	}
	assert_int_equal(facts_count(f), 3);
	assert_null(facts_get(f, STR("k"), STR("1")));
	assert_null(facts_get(f, STR("k"), STR("2")));
	assert_non_null(facts_get(f, STR("k"), STR("0")));
	f = again(p, &f, 2);
	assert_int_equal(facts_count(f), 2);
	assert_non_null(facts_get(f, STR("k"), STR("4")));
	facts_free(&f);
}

/* A journal far larger than what it says is written anew, and says the same. */
static void
test_rewrite(void **state)
{
	const struct place *p = *state;
	struct facts *f = must_open(p, 100);
	char text[1001];

	memset(text, 'x', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	facts_put(f, STR("k"), STR("still"), 60, 5, STR("here"));
	off_t largest = 0;
	for (int i = 0; i < 2000; i++) {
		facts_put(f, STR("k"), STR("often"), 60, (uint64_t)i, str_from(text));
		must_flush(f);
		if (size_of(p) > largest)
			largest = size_of(p);
	}
	assert_true(largest > 1 << 20 && largest < (1 << 20) + 100000);
	assert_true(size_of(p) < largest);
	f = again(p, &f, 100);
	assert_int_equal(facts_count(f), 2);
	assert_int_equal(facts_get(f, STR("k"), STR("often"))->count, 1999);
	assert_string_equal(facts_get(f, STR("k"), STR("still"))->text, "here");
	facts_free(&f);
}

static void
add_name(const struct fact *fact, void *arg)
{
	char *all = arg;

	strncat(all, fact->key, 100 - strlen(all) - 1);
}

static void
test_each(void **state)
{
	const struct place *p = *state;
	struct facts *f = must_open(p, 100);
	char all[100] = "";

	facts_put(f, STR("k"), STR("a"), 60, 1, STR_EMPTY);
	facts_put(f, STR("other"), STR("b"), 60, 1, STR_EMPTY);
	facts_put(f, STR("k"), STR("c"), 0, 1, STR_EMPTY);
	facts_put(f, STR("k"), STR("d"), 60, 1, STR_EMPTY);
	facts_each(f, STR("k"), add_name, all);
	assert_string_equal(all, "ad");
	facts_free(&f);
}

static void
test_refused(void **state)
{
	const struct place *p = *state;
	struct why why = {0};

	assert_int_equal(symlink("/etc/passwd", p->path), 0);
	assert_null(facts_open(p->folder, 10, &why));
	assert_true(why.text[0] != '\0');
	assert_null(facts_open("/nonexistent", 10, &why));
}

#define ROW(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    ROW(test_kept),
	    ROW(test_torn),
	    ROW(test_foreign_line),
	    ROW(test_changed),
	    ROW(test_expiry),
	    ROW(test_bound),
	    ROW(test_rewrite),
	    ROW(test_each),
	    ROW(test_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
