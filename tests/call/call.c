/* call ABI NUMBER [ARGUMENT]...: makes one system call and prints its result, or minus the error's number. ABI is 64, 32 (that of
 * i386, by int 0x80) or x32. An argument is a number, s:TEXT, or x:HEX, bytes that it points to. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <unistd.h>
#include <sys/syscall.h>

static long value(const char *word) {
    if (!strncmp(word, "s:", 2)) return (long)(word + 2);
    if (strncmp(word, "x:", 2)) return strtol(word, NULL, 0);
    word += 2;
    unsigned char *bytes = calloc(1, strlen(word) / 2 + 1);
    for (size_t at = 0; at < strlen(word) / 2; at++) sscanf(word + 2 * at, "%2hhx", bytes + at);
    return (long)bytes;
}

int main(int count, char **words) {
    long number = strtol(words[2], NULL, 0), a[6] = {0}, result;
    for (int at = 3; at < count && at < 9; at++) a[at - 3] = value(words[at]);
#ifdef __x86_64__
    if (!strcmp(words[1], "x32")) number |= 0x40000000;
    if (!strcmp(words[1], "32")) {
        __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a[0]), "c"(a[1]), "d"(a[2]), "S"(a[3]), "D"(a[4])
                         : "memory", "r8", "r9", "r10", "r11");
        printf("%ld\n", (long)(int)result);
        return 0;
    }
#endif
    result = syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    printf("%ld\n", result < 0 ? -(long)errno : result);
    return 0;
}
