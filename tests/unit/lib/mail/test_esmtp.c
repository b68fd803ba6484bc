/* SPDX-License-Identifier: ISC */
/* Parameters of MAIL and RCPT, and xtext. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/buf.h"
#include "lib/base/why.h"
#include "lib/mail/esmtp.h"
#include "lib/msg/fields.h"

enum { ALL = ESMTP_SIZE | ESMTP_8BITMIME | ESMTP_SMTPUTF8 | ESMTP_DSN };

static const struct {
	const char *in;
	int smtp; /* 0: accepted */
} mails[] = {
    {"",							     0  },
    {"SIZE=0",						       0  },
    {"size=12345 BODY=8bitmime SMTPUTF8 RET=HDRS ENVID=QQ314159+2B", 0  },
    {"SIZE",							 501},
    {"SIZE=",							501},
    {"SIZE=-1",						      501},
    {"SIZE=0x10",						    501},
    {"SIZE=99999999999999999999",				    0  },
    {"SIZE=999999999999999999999",				   501},
    {"ENVID=a+20b",						  0  },
    {"ENVID=a+0Ab",						  501},
    {"SIZE=1 SIZE=1",						501},
    {"BODY=BINARYMIME",					      501},
    {"SMTPUTF8=1",						   501},
    {"RET=ALL",						      501},
    {"ENVID=a+0",						    501},
    {"ENVID=a=b",						    501},
    {"ENVID=\xc3\xb6",					       501},
    {"AUTH=<>",						      555},
    {"REQUIRETLS",						   555},
    {"FOO=1",							555},
    {"NOTIFY=NEVER",						 555},
    {"SIZE=1\t2",						    501},
    {"=1",							   501},
};

static void
test_mail(void **state)
{
	struct esmtp_mail m;
	struct why why;

	(void)state;
	for (size_t i = 0; i < NELEM(mails); i++) {
		why = (struct why){0};
		int rc = esmtp_mail(str_from(mails[i].in), ALL, &m, &why);
		if ((rc == 0) != (mails[i].smtp == 0) || why.smtp != mails[i].smtp)
			fail_msg("%s: %d %d", mails[i].in, rc, why.smtp);
	}
	assert_int_equal(esmtp_mail(str_from(mails[2].in), ALL, &m, NULL), 0);
	assert_int_equal(m.size, 12345);
	assert_int_equal(m.body, BODY_8BITMIME);
	assert_true(m.smtputf8);
	assert_int_equal(m.ret, RET_HDRS);
	assert_true(str_is(m.envid, "QQ314159+2B"));
	assert_int_equal(esmtp_mail(STR("SIZE=1"), ALL & ~ESMTP_SIZE, &m, &why), -1);
}

static const struct {
	const char *in;
	int smtp;
	unsigned notify;
} rcpts[] = {
    {"",					  0,   0			    },
    {"NOTIFY=NEVER",			      0,   NOTIFY_NEVER                 },
    {"NOTIFY=success,DELAY ORCPT=rfc822;a@b.org", 0,   NOTIFY_SUCCESS | NOTIFY_DELAY},
    {"NOTIFY=FAILURE",			    0,   NOTIFY_FAILURE               },
    {"NOTIFY=NEVER,SUCCESS",                      501, 0                            },
    {"NOTIFY=SUCCESS,SUCCESS",                    501, 0                            },
    {"NOTIFY=",				   501, 0			    },
    {"NOTIFY=SUCCESS,",			   501, 0                            },
    {"NOTIFY",				    501, 0			    },
    {"ORCPT=rfc822",			      501, 0			    },
    {"ORCPT=;a@b",				501, 0			    },
    {"ORCPT=rfc822;",			     501, 0			    },
    {"ORCPT=rfc822;a+0Ab@c",                      501, 0                            }, /* a newline */
    {"ORCPT=rfc822;a+0",			  501, 0                            },
    {"ORCPT=utf-8;\\x{f6}@b.org",                 0,   0                            },
    {"ORCPT=a.b;c",			       501, 0			    },
    {"SIZE=1",				    555, 0			    },
};

static void
test_rcpt(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEM(rcpts); i++) {
		struct esmtp_rcpt r;
		struct why why = {0};
		int rc = esmtp_rcpt(str_from(rcpts[i].in), ALL, &r, &why);
		if ((rc == 0) != (rcpts[i].smtp == 0) || why.smtp != rcpts[i].smtp)
			fail_msg("%s: %d %d", rcpts[i].in, rc, why.smtp);
		if (rc == 0)
			assert_int_equal(r.notify, rcpts[i].notify);
	}
}

static void
test_xtext(void **state)
{
	struct buf b, c;

	(void)state;
	buf_init(&b, 100);
	buf_init(&c, 100);
	assert_int_equal(xtext_encode(STR("a b+c=d\xff"), &b), 0);
	assert_string_equal(buf_cstr(&b), "a+20b+2Bc+3Dd+FF");
	assert_int_equal(xtext_decode(buf_view(&b), &c), 0);
	assert_string_equal(buf_cstr(&c), "a b+c=d\xff");
	assert_int_equal(xtext_decode(STR("a+0Ab"), &c), -1);
	assert_int_equal(xtext_decode(STR("a+00"), &c), -1);
	assert_int_equal(xtext_decode(STR("a+2b"), &c), -1);
	assert_string_equal(buf_cstr(&c), "a b+c=d\xff");
	buf_free(&b);
	buf_free(&c);
}

static void
test_announced(void **state)
{
	struct str value;

	(void)state;
	assert_int_equal(esmtp_announced(STR("size 1000"), &value), ESMTP_SIZE);
	assert_true(str_is(value, "1000"));
	assert_int_equal(esmtp_announced(STR("PIPELINING"), &value), ESMTP_PIPELINING);
	assert_int_equal(esmtp_announced(STR("PIPELININGX"), &value), 0);
	assert_int_equal(esmtp_announced(STR(""), &value), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_mail),
	    cmocka_unit_test(test_rcpt),
	    cmocka_unit_test(test_xtext),
	    cmocka_unit_test(test_announced),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
