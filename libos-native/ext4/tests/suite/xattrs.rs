//! Extended attributes, in the inode and in a block of their own.
use crate::basics::on_fresh;
use crate::common::{MODERN, debugfs};
use serix_block::host::block_on;
use serix_ext4::{Error, FileKind, XattrMode};

#[test]
fn set_replaced_and_removed() {
    let image = on_fresh(64, MODERN, |mounted| {
        let fs = &mounted.0;
        let file = mounted.create(2, "file", FileKind::Regular).expect("create");
        let set = |name: &str, len: usize, mode| {
            block_on(fs.set_xattr(file, name.as_bytes(), &vec![b'v'; len], mode))
        };
        set("user.small", 10, XattrMode::Create).expect("in the inode");
        set("user.large", 3000, XattrMode::Any).expect("in a block");
        set("trusted.t", 500, XattrMode::Any).expect("in the block");
        assert_eq!(set("user.small", 1, XattrMode::Create), Err(Error::Exists));
        assert_eq!(set("user.none", 1, XattrMode::Replace), Err(Error::NoAttribute));
        assert_eq!(set("user.huge", 5000, XattrMode::Any), Err(Error::NoSpace));
        for name in ["strange.name", "system.posix_acl_access", "system.posix_acl_default"] {
            assert_eq!(set(name, 1, XattrMode::Any), Err(Error::NotSupported));
        }
        assert_eq!(set("user.", 1, XattrMode::Any), Err(Error::Invalid));
        set("user.small", 200, XattrMode::Replace).expect("moves to the block");
        assert_eq!(block_on(fs.xattr(file, b"user.small")), Ok(vec![b'v'; 200]));
        block_on(fs.remove_xattr(file, b"trusted.t")).expect("remove");
        assert_eq!(block_on(fs.xattr(file, b"trusted.t")), Err(Error::NoAttribute));
        let mut names = block_on(fs.xattr_names(file)).expect("names");
        names.sort();
        assert_eq!(names, [b"user.large".to_vec(), b"user.small".to_vec()]);
        let other = mounted.create(2, "other", FileKind::Directory).expect("mkdir");
        block_on(fs.set_xattr(other, b"user.x", &[1; 2000], XattrMode::Any)).expect("set");
        block_on(fs.rmdir(2, b"other")).expect("rmdir");
        block_on(fs.set_xattr(2, b"user.root", b"yes", XattrMode::Any)).expect("set");
    });
    assert!(debugfs(&image, "ea_get -V /file user.small").contains(&"v".repeat(200)));
    assert!(debugfs(&image, "ea_list /").contains("user.root"));
}
