/* SPDX-License-Identifier: ISC */
/* The user database: names, changes, listings, and that it is still there after a restart. */
#include "lib/users/users.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "lib/base/why.h"
#include "tests/unit/tree.h"

#define RECORD                                                                                     \
	"{SCRAM-SHA-1}4096,QSXCR+Q6sek8bf92,6dlGYMOdZcOPutkcNY8U2g7vK9Y=,D+CSWLOshSulAsxiupA+qs2/" \
	"fTE="

static void
test_names(void **state)
{
	static const struct {
		const char *said, *name; /* NULL: can be none */
	} rows[] = {
	    {"ann",             "ann"            },
	    {"Ann@Example.ORG", "ann@example.org"},
	    {"two words",       "two words"      },
	    {"",                NULL             },
	    {" ann",            NULL             },
	    {"ann ",            NULL             },
	    {"a\tb",            NULL             },
	    {"a\x7f",           NULL             },
	};
	struct buf name = {.max = 1024};
	char longest[USERS_NAME_MAX + 2];

	(void)state;
	for (size_t i = 0; i < NELEM(rows); i++) {
		assert_int_equal(users_name(str_from(rows[i].said), &name), rows[i].name != NULL);
		if (rows[i].name != NULL)
			assert_string_equal(buf_cstr(&name), rows[i].name);
	}
	assert_false(users_name(str_make("a\0b", 3), &name));
	memset(longest, 'x', sizeof longest);
	assert_true(users_name(str_make(longest, USERS_NAME_MAX), &name));
	assert_false(users_name(str_make(longest, USERS_NAME_MAX + 1), &name));
	buf_free(&name);
}

static bool
collect(void *arg, struct str name, struct str record)
{
	assert_true(str_is(record, RECORD));
	return buf_printf(arg, "%.*s ", STR_ARG(name)) == 0;
}

static bool
only_one(void *arg, struct str name, struct str record)
{
	(void)collect(arg, name, record);
	return false;
}

static void
test_database(void **state)
{
	char folder[] = "/tmp/kp-users-XXXXXX";
	struct buf b = {.max = 4096};
	struct why why;
	char seed[USERS_SEED_SIZE];

	(void)state;
	assert_non_null(mkdtemp(folder));
	struct users *u = users_open(folder, &why);
	assert_non_null(u);
	assert_int_equal(users_seed(u).n, sizeof seed);
	memcpy(seed, users_seed(u).p, sizeof seed);
	assert_int_equal(users_get(u, STR("ann"), &b, &why), 0);
	assert_int_equal(users_set(u, USERS_REPLACE, STR("ann"), STR(RECORD), &why), -1);
	assert_int_equal(users_set(u, USERS_ADD, STR("ann"), STR("rubbish"), &why), -1);
	assert_int_equal(users_set(u, USERS_ADD, STR("ann"), STR(RECORD), &why), 0);
	assert_int_equal(users_set(u, USERS_ADD, STR("ann"), STR(RECORD), &why), -1);
	assert_int_equal(why.class, WHY_PERM);
	assert_int_equal(users_set(u, USERS_ADD, STR("bob"), STR(RECORD), &why), 0);
	assert_int_equal(users_set(u, USERS_ADD, STR("carl"), STR(RECORD), &why), 0);
	users_close(&u);

	u = users_open(folder, &why);
	assert_non_null(u);
	assert_memory_equal(seed, users_seed(u).p, sizeof seed);
	assert_int_equal(users_get(u, STR("bob"), &b, &why), 1);
	assert_string_equal(buf_cstr(&b), RECORD);
	buf_reset(&b);
	assert_int_equal(users_list(u, STR_EMPTY, collect, &b, &why), 0);
	assert_string_equal(buf_cstr(&b), "ann bob carl ");
	buf_reset(&b);
	assert_int_equal(users_list(u, STR("ann"), only_one, &b, &why), 0);
	assert_string_equal(buf_cstr(&b), "bob ");
	assert_int_equal(users_set(u, USERS_DELETE, STR("bob"), STR_EMPTY, &why), 0);
	assert_int_equal(users_set(u, USERS_DELETE, STR("bob"), STR_EMPTY, &why), -1);
	buf_reset(&b);
	assert_int_equal(users_list(u, STR("b"), collect, &b, &why), 0);
	assert_string_equal(buf_cstr(&b), "carl ");
	assert_string_equal(users_schemes(STR(RECORD)), "scram");
	users_close(&u);
	buf_free(&b);
	assert_int_equal(tree_remove(folder), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_names),
	    cmocka_unit_test(test_database),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
