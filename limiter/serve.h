/* SPDX-License-Identifier: ISC */
/* What limiter answers, to whom. */
#ifndef LIMITER_SERVE_H
#define LIMITER_SERVE_H

#include "lib/chan/chan.h"

extern const struct chan_rule serve_smtpd[], serve_qmgr[], serve_operators[];

#endif
