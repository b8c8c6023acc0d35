/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Sentences that one program words and another one shows, perhaps in another language.
 *
 * A message is a string that keeps its msgid and arguments apart. It can be copied, compared, put into
 * lists, and be an argument of another message. It becomes a sentence where it leaves the program: on D-Bus
 * and in the journal by message_english(), on the screen by message_translate(). Both leave other text as it
 * is, also around messages.
 *
 * Mark each msgid for xgettext: message_format(N_("The MTU of %s cannot be set to %u."), name, mtu). Only
 * %s, %d, %u, %zu, %lu, %llu and %x, with flags, are known; an argument that is text in some language is a
 * message itself, such as message_constant(N_("the MTU")) or MESSAGE_ERRNO(r).
 */

#include "base/i18n.h"
#include "base/util.h"

enum { MESSAGE_ARGUMENTS_MAX = 8 };

/* Caller frees; NULL when out of memory. */
char *message_format(const char *msgid, ...) _printf_(1, 2);
char *message_vformat(const char *msgid, va_list arguments) _printf_(1, 0);

/* A message without arguments. The same. */
char *message_constant(const char *msgid);

/* Appends a message to a list of strings. 0 or -ENOMEM. */
int message_add(char ***list, const char *msgid, ...) _printf_(2, 3);

/* The words of an errno, positive or negative, as a message; valid until the end of the block. */
#define MESSAGE_ERRNO(error) message_errno((char[MESSAGE_ERRNO_BYTES]){}, error)
enum { MESSAGE_ERRNO_BYTES = 80 };
const char *message_errno(char buffer[static MESSAGE_ERRNO_BYTES], int error);

/* All messages in a text as sentences, in English or in the language of LC_MESSAGES. Caller frees; NULL when
 * out of memory. */
char *message_english(const char *text);
char *message_translate(const char *text);

/* The translation of a msgid, by the C library's catalogue where it is the C library's; the msgid itself
 * when there is none. */
const char *message_lookup(const char *msgid);

/* A template with its directives replaced by the texts, whatever conversion they name: %s and %u, or %1$s
 * and %2$u. The template may come from somebody else: what names no argument stays as it is. Caller frees;
 * NULL when out of memory. */
char *message_fill(const char *template, const char *const *arguments, size_t count);

/* Takes one message: its sentence, its msgid and its arguments, all in English. Negative errno ends the
 * walk. */
typedef int (*MessageHandler)(const char *sentence, const char *msgid, const char *const *arguments,
                              size_t count, void *userdata);

/* All messages in a text, and those that are their arguments. 0 or what the handler returned. */
int message_each(const char *text, MessageHandler handler, void *userdata);
