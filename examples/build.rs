//! Generates the gRPC client and server of the `tonic` example, and takes the code out of the README.
//!
//! The former from a description in Rust, so that nobody needs protoc to build the examples. What comes
//! out is what tonic makes of a `.proto` file as well. The latter is compiled by `readme.rs`.

use std::{env, fs, io, path::Path};

use tonic_build::manual::{Builder, Method, Service};

const README: &str = "../README.md";

fn main() -> io::Result<()> {
    generate_greeter();
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={README}");
    let out = env::var_os("OUT_DIR").ok_or_else(|| io::Error::other("there is no OUT_DIR"))?;
    let blocks = code_of(&fs::read_to_string(README)?);
    let names: Vec<_> = blocks.iter().map(|(name, _)| name).collect();
    let list = format!("const BLOCKS: &[&str] = &{names:?};\n");
    fs::write(Path::new(&out).join("readme.rs"), list)?;
    for (name, code) in &blocks {
        let function = format!(
            "pub(crate) async fn block() -> Result<(), Box<dyn std::error::Error>> {{\n{code}Ok(())\n}}\n"
        );
        fs::write(Path::new(&out).join(format!("readme_{name}.rs")), function)?;
    }
    Ok(())
}

/// The README's blocks of Rust, by what stands in bold before each of them.
fn code_of(readme: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut lines = readme.lines();
    let mut name = String::new();
    while let Some(line) = lines.next() {
        if let Some((bold, _)) = line
            .strip_prefix("**")
            .and_then(|line| line.split_once("**"))
        {
            name = bold.to_owned();
        } else if line == "```rust" {
            let code = lines.by_ref().take_while(|line| *line != "```");
            let code = code.map(|line| format!("{line}\n")).collect();
            blocks.push((name.clone(), code));
        }
    }
    blocks
}

fn generate_greeter() {
    let say_hello = Method::builder()
        .name("say_hello")
        .route_name("SayHello")
        .input_type("crate::hello::HelloRequest")
        .output_type("crate::hello::HelloReply")
        .codec_path("tonic_prost::ProstCodec")
        .build();
    let greeter = Service::builder()
        .package("hello")
        .name("Greeter")
        .method(say_hello)
        .build();
    Builder::new().compile(&[greeter]);
}
