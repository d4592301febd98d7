//! A machine whose wall clock is wrong: by a library that the process is started with, which shifts what it is told.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::process::{Cluster, until};

const SHIFT: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int clock_gettime(clockid_t clock, struct timespec *time) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, time);
    if (clock == CLOCK_REALTIME && result == 0) {
        FILE *file = fopen(getenv("SHIFT_FILE"), "r");
        long long seconds = 0;
        if (file) {
            if (fscanf(file, "%lld", &seconds) == 1) time->tv_sec += seconds;
            fclose(file);
        }
    }
    return result;
}
"#;

/// One node whose clock shows so many seconds more than it should, and the file that says how many.
fn shifted(seconds: i64) -> (Cluster, PathBuf) {
    let mut cluster = Cluster::new(1, &[]);
    let folder = cluster.folder.path();
    let [source, library, file] = ["shift.c", "shift.so", "shift"].map(|name| folder.join(name));
    fs::write(&source, SHIFT).unwrap();
    fs::write(&file, seconds.to_string()).unwrap();
    let made =
        Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).arg("-ldl").status();
    assert!(made.is_ok_and(|status| status.success()), "the database needs a compiler, too");
    let preload = format!("LD_PRELOAD={}", library.display());
    cluster.nodes[0].started_by(&["env", &preload, &format!("SHIFT_FILE={}", file.display())]);
    cluster.nodes[0].start();
    (cluster, file)
}

fn set(file: &PathBuf, seconds: i64) {
    // Whole at once: it is read all the time.
    let new = file.with_extension("new");
    fs::write(&new, seconds.to_string()).unwrap();
    fs::rename(new, file).unwrap();
}

const CENTURY_S: i64 = 100 * 365 * 24 * 60 * 60;

#[test]
fn before_1970_nothing_panics_and_when_the_clock_is_set_all_is_served() {
    let (mut cluster, file) = shifted(-CENTURY_S);
    let refused = until("HTTP is refused in words", || cluster.nodes[0].web.get("/readyz"));
    assert_eq!((refused.status, refused.problem().as_str()), (503, "busy"));
    assert!(refused.text.contains("set it"), "{refused:?}");
    set(&file, 0);
    cluster.until_whole();
    assert_eq!(cluster.add_one(0, "counter/a"), 1);
    set(&file, -CENTURY_S);
    until("HTTP is refused again", || {
        cluster.nodes[0].web.get("/readyz").filter(|answer| answer.status == 503)
    });
    set(&file, 100 * CENTURY_S);
    until("HTTP is refused still", || {
        cluster.nodes[0].web.get("/readyz").filter(|answer| answer.status == 503)
    });
    set(&file, 0);
    assert_eq!(cluster.add_one(0, "counter/a"), 2);
    let said = cluster.nodes[0].process().stderr();
    assert!(said.contains("before 1970") && !said.contains("panicked"), "{said}");
}
