/* SPDX-License-Identifier: ISC */
/* The configuration as a whole: sections, $names, overrides, includes, and every fault in one
 * reading. */
#include "lib/conf/config.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/io.h"
#include "tests/unit/test.h"

struct common {
	char *myhostname, *myorigin;
};
struct serve {
	struct common common;
	int64_t serve_timeout, serve_limit;
	struct setting_list serve_names;
};
struct section {
	char *program;
	struct setting_list listen;
};

static const struct setting common_rows[] = {
    SETTING_TEXT_ROW(common, myhostname, "$hostname", "name"),
    SETTING_TEXT_ROW(common, myorigin, "$myhostname", "origin"),
};
static const struct setting serve_rows[] = {
    SETTING_TIME_ROW(serve, serve_timeout, "300s", 1000, 3600000, "time"),
    SETTING_INT_ROW(serve, serve_limit, "50", 1, 100, "limit"),
    SETTING_LIST_ROW(serve, serve_names, "$myhostname, localhost", "names"),
};
static const struct setting other_rows[] = {
    {"other_limit", SETTING_INT, 0, "1", 0, 10, NULL, "other"}
};
static const struct setting section_rows[] = {
    SETTING_TEXT_ROW(section, program, "", "program"),
    SETTING_LIST_ROW(section, listen, "", "listen"),
};
static const struct settings common = {"common", common_rows, 2, sizeof(struct common)};
static const struct settings serve = {"serve", serve_rows, 3, sizeof(struct serve)};
static const struct settings other = {"other", other_rows, 1, sizeof(int64_t)};
static const struct settings section = {"service", section_rows, 2, sizeof(struct section)};
static const struct settings *const programs[] = {&serve, &other, NULL};
static const struct config_macro macros[] = {
    {"hostname", "host.example"},
    {NULL,       NULL          }
};
static const char *const services[] = {"other", NULL};
static const struct config_tables tables = {programs, &common, &section, macros, services};

static char dir[] = "/tmp/kp-test-config-XXXXXX";
static char path[64], more[64];

static int
make_dir(void **state)
{
	(void)state;
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(path, sizeof path, "%s/a.conf", dir);
	snprintf(more, sizeof more, "%s/b.conf", dir);
	return 0;
}

static int
remove_dir(void **state)
{
	(void)state;
	unlink(path);
	unlink(more);
	return rmdir(dir);
}

static void
put(const char *name, const char *text)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_int_not_equal(fd, -1);
	assert_int_equal(write_all(fd, text, strlen(text)), 0);
	close(fd);
}

static struct config *
load(const char *text, struct buf *errors)
{
	put(path, text);
	return config_load(&tables, path, NULL, errors);
}

static const char *
value(struct config *c, const char *service, const char *name)
{
	size_t s = service != NULL ? config_find_service(c, str_from(service)) : 0;

	return config_value(c, s, config_row(c, s, str_from(name)), NULL);
}

static void
a_section_wins_over_the_global_value(void **state)
{
	struct buf errors = {.max = 10000};
	struct config *c = load("# comment\n"
				"serve_limit = 10\n"
				"serve_names = a,\n"
				"   b, $myhostname\n"
				"service one {\n"
				"\tprogram = serve\n"
				"\tserve_limit = 20\n"
				"\tlisten = 127.0.0.1:1,\n"
				"\t    127.0.0.1:2\n"
				"\tmyhostname = one.example\n"
				"}\n"
				"service two {\n"
				"  program = serve\n"
				"}\n",
	    &errors);

	(void)state;
	assert_string_equal(buf_cstr(&errors), "");
	assert_int_equal(config_faults(c), 0);
	assert_int_equal(config_services(c), 3);
	assert_string_equal(value(c, NULL, "serve_limit"), "10");
	assert_string_equal(value(c, "one", "serve_limit"), "20");
	assert_string_equal(value(c, "two", "serve_limit"), "10");
	assert_string_equal(value(c, NULL, "serve_names"), "a, b, host.example");
	assert_string_equal(value(c, "one", "serve_names"), "a, b, one.example");
	assert_string_equal(value(c, "one", "myorigin"), "one.example");
	assert_string_equal(value(c, "one", "listen"), "127.0.0.1:1, 127.0.0.1:2");
	assert_string_equal(value(c, "other", "other_limit"), "1");
	assert_null(config_row(c, config_find_service(c, STR("other")), STR("serve_limit")));

	struct serve conf = {0};
	config_fill(c, config_find_service(c, STR("one")), &serve, &conf);
	assert_int_equal(conf.serve_limit, 20);
	assert_int_equal(conf.serve_timeout, 300000);
	assert_string_equal(conf.common.myhostname, "one.example");
	assert_int_equal(conf.serve_names.n, 3);
	settings_clear(&common, &conf);
	settings_clear(&serve, &conf);
	config_free(&c);
	buf_free(&errors);
}

static void
the_domain_of_a_name(void **state)
{
	struct buf errors = {.max = 10000};
	struct config *c = load("myhostname = mx.some.example\n"
				"myorigin = at.${myhostname#*.}\n"
				"service one {\nprogram = serve\nmyhostname = bare\n}\n",
	    &errors);

	(void)state;
	assert_string_equal(buf_cstr(&errors), "");
	assert_string_equal(value(c, NULL, "myorigin"), "at.some.example");
	assert_string_equal(value(c, "one", "myorigin"), "at.localdomain");
	config_free(&c);
	buf_free(&errors);
}

static void
every_fault_is_said_with_its_place(void **state)
{
	struct buf errors = {.max = 10000};
	struct config *c = load("serve_limti = 5\n"
				"serve_limit = 500\n"
				"what is this\n"
				"service x {\nprogram = nonsense\n}\n"
				"service other { \nserve_timeout = 5s\n}\n"
				"}\n"
				"myorigin = $nothing\n"
				"zzzzzzzzzzzzzzzz = 1\n"
				"serve_timeout = 1s\n"
				"serve_timeout = 2s\n",
	    &errors);

	(void)state;
	static const char *const words[] = {
	    ":1: serve_limti: there is no such setting; did you mean serve_limit?",
	    ":2: serve_limit: must be from 1 to 100",
	    ":3: expected \"setting = value\"",
	    ":5: service x: there is no such program",
	    ":8: serve_timeout is not a setting of other",
	    ":10: a } without its section",
	    ":11: myorigin: $nothing: there is no such setting",
	    ":12: zzzzzzzzzzzzzzzz: there is no such setting",
	    ":13: serve_timeout is set again further down",
	};
	for (size_t i = 0; i < NELEM(words); i++)
		if (strstr(buf_cstr(&errors), words[i]) == NULL)
			fail_msg("no \"%s\" in:\n%s", words[i], buf_cstr(&errors));
	assert_int_equal(config_faults(c), NELEM(words));
	config_free(&c);
	buf_free(&errors);
}

static void
includes_are_read_and_named(void **state)
{
	struct buf errors = {.max = 10000};

	(void)state;
	put(more, "serve_limit = 7\nnonsense\n");
	struct config *c = load("include b.conf\n", &errors);
	assert_string_equal(value(c, NULL, "serve_limit"), "7");
	assert_non_null(strstr(buf_cstr(&errors), "b.conf:2: expected"));
	config_free(&c);
	buf_reset(&errors);

	c = load("include a.conf\n", &errors); /* itself */
	assert_int_not_equal(config_faults(c), 0);
	assert_non_null(strstr(buf_cstr(&errors), "files deep"));
	config_free(&c);
	buf_reset(&errors);

	c = load("include missing.conf\n", &errors);
	assert_int_equal(config_faults(c), 1);
	assert_non_null(strstr(buf_cstr(&errors), "a.conf:1: include: open"));
	config_free(&c);
	buf_free(&errors);
}

static void
a_name_that_leads_to_itself_is_a_fault(void **state)
{
	struct buf errors = {.max = 10000};
	struct config *c = load("myhostname = $myorigin\nmyorigin = $myhostname\n", &errors);

	(void)state;
	assert_int_equal(config_faults(c), 2);
	assert_non_null(strstr(buf_cstr(&errors), "refers to itself"));
	config_free(&c);
	buf_free(&errors);
}

static void
an_open_section_is_a_fault(void **state)
{
	struct buf errors = {.max = 10000};
	struct config *c = load("service other {\n", &errors);

	(void)state;
	assert_int_equal(config_faults(c), 1);
	assert_non_null(strstr(buf_cstr(&errors), "is not closed"));
	config_free(&c);
	buf_free(&errors);
}

static void
overrides_come_last(void **state)
{
	static const char *const overrides[] = {"serve_limit = 3", "serve_timeout = 9s", NULL};
	struct buf errors = {.max = 10000};
	struct conf_place place;

	(void)state;
	put(path, "serve_limit = 5\n");
	struct config *c = config_load(&tables, path, overrides, &errors);
	assert_int_equal(config_faults(c), 0);
	assert_string_equal(value(c, NULL, "serve_limit"), "3");
	assert_string_equal(
	    config_value(c, 0, config_row(c, 0, STR("serve_timeout")), &place), "9s");
	assert_string_equal(place.file, "command line");
	config_free(&c);
	buf_free(&errors);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_section_wins_over_the_global_value),
	    cmocka_unit_test(the_domain_of_a_name),
	    cmocka_unit_test(every_fault_is_said_with_its_place),
	    cmocka_unit_test(includes_are_read_and_named),
	    cmocka_unit_test(a_name_that_leads_to_itself_is_a_fault),
	    cmocka_unit_test(an_open_section_is_a_fault),
	    cmocka_unit_test(overrides_come_last),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
