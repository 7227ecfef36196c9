/* What the benchmark has run inside and outside: it times system calls, each in a
   loop, and prints the nanoseconds that one took: the least of several loops, for
   what else the machine does only adds. `calls FILE PROGRAM`. */

#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *file, *program;

static void parent(void) { syscall(SYS_getppid); }
static void opens(void) {
    int fd = open(file, O_RDONLY);
    if (fd < 0 || close(fd)) exit(1);
}
static void status(void) {
    struct stat about;
    if (stat(file, &about)) exit(1);
}
static void child(void) {
    int ended;
    pid_t pid = fork();
    if (pid == 0) {
        execl(program, program, NULL);
        _exit(127);
    }
    if (pid < 0 || waitpid(pid, &ended, 0) != pid || ended) exit(1);
}

/* There and back between two processes, on one processor: else it is chance, for all of
   a run, whether they are on one or two, and that is a factor of six. */
static int there[2], back[2];
static void ping(void) {
    char byte = 0;
    if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1) exit(1);
}
static void pong(void) {
    char byte;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    if (sched_setaffinity(0, sizeof one, &one) || pipe(there) || pipe(back)) exit(1);
    pid_t pid = fork();
    if (pid < 0) exit(1);
    if (pid) return;
    close(there[1]);
    close(back[0]);
    while (read(there[0], &byte, 1) == 1 && write(back[1], &byte, 1) == 1) {}
    _exit(0);
}

static double now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec * 1e9 + at.tv_nsec;
}

static void times(void (*act)(void), int many) {
    double least = 1e18;
    for (int loop = 0; loop < 8; loop++) {
        double start = now();
        for (int i = 0; i < many; i++) act();
        double took = (now() - start) / many;
        if (took < least) least = took;
    }
    printf("%.1f\n", least);
}

int main(int count, char **words) {
    if (count != 3) return 2;
    file = words[1];
    program = words[2];
    times(parent, 20000);
    times(opens, 2000);
    times(status, 2000);
    times(child, 10);
    pong();
    times(ping, 500);
    return 0;
}
