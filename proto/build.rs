//! Generates the messages and stubs from proto/. Needs `protoc`, as etcd-client does.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?);
    tonic_prost_build::configure()
        .bytes(".")
        .include_file("mod.rs")
        .file_descriptor_set_path(out.join("cached.bin"))
        .compile_protos(
            &[
                "proto/cached/cache/v1/cache.proto",
                "proto/cached/admin/v1/admin.proto",
                "proto/cached/peer/v1/peer.proto",
            ],
            &["proto"],
        )?;
    Ok(())
}
