//! A program of Rust's standard library: collections, formatting, files, time, a child that panics.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    println!("arguments: {arguments:?}");
    let mut counts: HashMap<char, usize> = HashMap::new();
    arguments.iter().flat_map(|word| word.chars()).for_each(|c| *counts.entry(c).or_default() += 1);
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort();
    println!("counts: {counts:?}");
    let path = std::env::temp_dir().join("hello-rust.txt");
    std::fs::write(&path, "written\n").expect("a file");
    let mut text = String::new();
    std::fs::File::open(&path).expect("the file").read_to_string(&mut text).expect("its text");
    std::fs::remove_file(&path).expect("it goes");
    println!("file: {text:?}, gone: {}", !path.exists());
    let start = Instant::now();
    std::thread::sleep(Duration::from_millis(50));
    println!("slept: {}", start.elapsed() >= Duration::from_millis(50));
    let floats: f64 = (1..=100).map(|n| f64::from(n).sqrt()).sum();
    println!("floats: {floats:.9}");
    let caught = std::panic::catch_unwind(|| {
        let empty: Vec<u8> = Vec::new();
        empty[arguments_len()]
    });
    println!("caught: {}", caught.is_err());
    std::io::stdout().flush().expect("a flush");
    std::process::exit(42);
}

fn arguments_len() -> usize {
    std::env::args().count()
}
