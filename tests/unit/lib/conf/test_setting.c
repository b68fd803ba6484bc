/* SPDX-License-Identifier: ISC */
/* Values of settings: what is taken, what is refused, and with which words. */
#include "lib/conf/setting.h"

#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/why.h"
#include "tests/unit/test.h"

struct sample {
	int64_t delay, size, count, level;
	bool on;
	char *name;
	struct setting_list items, words;
};

static const char *const levels[] = {"none", "may", "encrypt", NULL};

static const struct setting rows[] = {
    SETTING_TIME_ROW(sample, delay, "5m", 1000, 86400000, "a time"),
    SETTING_SIZE_ROW(sample, size, "10M", 1024, INT64_MAX, "a size"),
    SETTING_INT_ROW(sample, count, "20", 1, 100, "a number"),
    SETTING_WORD_ROW(sample, level, "may", levels, "a word"),
    SETTING_BOOL_ROW(sample, on, "yes", "a switch"),
    SETTING_TEXT_ROW(sample, name, "x", "a text"),
    SETTING_LIST_ROW(sample, items, "a, b", "a list"),
    SETTING_WORDS_ROW(sample, words, "may", levels, "a list of words"),
};
static const struct settings table = {
    "sample", rows, sizeof rows / sizeof rows[0], sizeof(struct sample)};

static void
values_are_taken_or_refused_with_words(void **state)
{
	static const struct {
		const char *name, *value, *shown, *error;
	} cases[] = {
	    {"delay", "300",                   "5m",                     NULL						    },
	    {"delay", "2h",                    "2h",                     NULL						    },
	    {"delay", "1d",                    "1d",                     NULL						    },
	    {"delay", "1500ms",                "1500ms",                 NULL						    },
	    {"delay", "2d",                    NULL,                     "must be from 1s to 1d"                                 },
	    {"delay", "5 m",                   NULL,                     "expected a time such as 30s, 5m, 4h or 5d, not \"5 m\""},
	    {"delay", "",                      NULL,                     "expected a time such as 30s, 5m, 4h or 5d, not \"\""   },
	    {"delay", "99999999999999999999d", NULL,
             "expected a time such as 30s, 5m, 4h or 5d, not \"99999999999999999999d\""                                          },
	    {"size",  "64k",                   "64K",                    NULL						    },
	    {"size",  "1G",                    "1G",                     NULL						    },
	    {"size",  "1",                     NULL,                     "must be at least 1K"                                   },
	    {"count", "100",                   "100",                    NULL						    },
	    {"count", "101",                   NULL,                     "must be from 1 to 100"                                 },
	    {"count", "-1",                    NULL,                     "must be from 1 to 100"                                 },
	    {"count", "ten",                   NULL,                     "expected a number, not \"ten\""                        },
	    {"level", "Encrypt",               "encrypt",                NULL						    },
	    {"level", "must",                  NULL,                     "expected one of none, may, encrypt, not \"must\""      },
	    {"on",    "no",                    "no",                     NULL						    },
	    {"on",    "true",                  NULL,                     "expected yes or no, not \"true\""                      },
	    {"name",  "  some text ",          "some text",              NULL                                                    },
	    {"words", "may Encrypt",           "may, encrypt",           NULL                                                    },
	    {"words", "",                      "",                       NULL						    },
	    {"words", "may, must",             NULL,                     "expected one of none, may, encrypt, not \"must\""      },
	    {"items", "a b,c",                 "a, b, c",                NULL						    },
	    {"items", "{ a b } c",             "{a b}, c",               NULL						    },
	    {"items", "inline:{a=b, c=d} x",   "{inline:{a=b, c=d}}, x", NULL                                                    },
	    {"items", "{a",                    NULL,                     "a { without its }"                                     },
	    {"items", "a}",                    NULL,                     "a } without its {"                                     },
	};
	struct sample conf = {0};

	(void)state;
	settings_init(&table, &conf);
	for (size_t i = 0; i < NELEM(cases); i++) {
		const struct setting *row = settings_find(&table, str_from(cases[i].name));
		struct buf shown = {.max = 1000};
		struct why why = {0};
		int result = setting_set(row, &conf, str_from(cases[i].value), &why);
		assert_int_equal(result, cases[i].error == NULL ? 0 : -1);
		if (cases[i].error != NULL) {
			assert_string_equal(why.text, cases[i].error);
			continue;
		}
		setting_show(row, &conf, &shown);
		assert_string_equal(buf_cstr(&shown), cases[i].shown);
		/* what is shown can be read again, and means the same */
		struct buf again = {.max = 1000};
		assert_int_equal(setting_set(row, &conf, buf_view(&shown), &why), 0);
		setting_show(row, &conf, &again);
		assert_string_equal(buf_cstr(&again), buf_cstr(&shown));
		buf_free(&again);
		buf_free(&shown);
	}
	settings_clear(&table, &conf);
}

static void
a_refused_value_changes_nothing(void **state)
{
	struct sample conf = {0};
	struct why why;

	(void)state;
	settings_init(&table, &conf);
	assert_int_equal(setting_set(&rows[2], &conf, STR("1000"), &why), -1);
	assert_int_equal(conf.count, 20);
	assert_int_equal(setting_set(&rows[6], &conf, STR("x {"), &why), -1);
	assert_int_equal(conf.items.n, 2);
	assert_string_equal(conf.items.items[1], "b");
	settings_clear(&table, &conf);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(values_are_taken_or_refused_with_words),
	    cmocka_unit_test(a_refused_value_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
