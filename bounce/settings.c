/* SPDX-License-Identifier: ISC */
/* bounce's settings. */
#include "bounce/conf.h"

static const struct setting rows[] = {
    SETTING_SIZE_ROW(bounce_conf, bounce_size_limit, "50000", 0, INT64_MAX,
	"how much of the original goes into a notification; of a larger message only the header "
	"does"),
    SETTING_TEXT_ROW(bounce_conf, twobounce_notice_recipient, "postmaster",
	"who is told of a notification that could not be delivered; empty: nobody"),
};

const struct settings bounce_settings = {
    "bounce", rows, sizeof rows / sizeof rows[0], sizeof(struct bounce_conf)};
