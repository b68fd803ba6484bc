/* SPDX-License-Identifier: ISC */
/* bounce's settings. */
#include "bounce/conf.h"

static const char *const notify_words[] = {"account", "2bounce", NULL};

static const struct setting rows[] = {
    SETTING_SIZE_ROW(bounce_conf, bounce_size_limit, "50000", 0, INT64_MAX,
	"how much of the original goes into a notification; of a larger message only the header "
	"does"),
    SETTING_TEXT_ROW(bounce_conf, twobounce_notice_recipient, "postmaster",
	"who is told of a notification that could not be delivered; empty: nobody"),
    SETTING_TEXT_ROW(bounce_conf, error_notice_recipient, "postmaster",
	"who is told of an account whose mail goes to hold; empty: nobody"),
    SETTING_WORDS_ROW(bounce_conf, notify_classes, "account, 2bounce", notify_words,
	"what the operator is told by mail: account (an account's mail goes to hold, to "
	"error_notice_recipient), 2bounce (a notification could not be delivered, to "
	"twobounce_notice_recipient)"),
};

const struct settings bounce_settings = {
    "bounce", rows, sizeof rows / sizeof rows[0], sizeof(struct bounce_conf)};
