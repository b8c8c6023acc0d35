/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See words.h. */

#include "base/i18n.h"
#include "base/util.h"
#include "ctl/words.h"

static const char *const words[] = {
        /* states of links */
        N_("off"), N_("waiting"), N_("active"), N_("failed"),
        /* states of flows */
        N_("half-open"), N_("tunnelled"), N_("plain"),
        /* sources of values, beside those that are names */
        N_("default"), N_("file"),
        /* stages at which something failed */
        N_("facts"), N_("profile"), N_("load"), N_("segmentation"), N_("attach"), N_("endpoint"),
};

const char *words_translate(const char *word) {
        for (size_t i = 0; i < ELEMENTS(words); i++)
                if (streq(words[i], word))
                        return _(word);
        return word;
}
