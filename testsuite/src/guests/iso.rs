//! A writer of ISO 9660 images with El Torito boot, and of hybrids that also boot as a hard disk: as much as boot media
//! for the guests need. Follows ECMA-119 (names up to 30 characters as level 2 allows, upper case) and the El Torito
//! specification 1.0.

use std::collections::BTreeMap;

const SECTOR: usize = 2048;

/// What the boot image wants patched into itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootInfo {
    /// isolinux: the boot information table at offset 8.
    Isolinux,
    /// GRUB: as isolinux, and the sector after its first four (in 512-byte units) as 64 bits at offset 2548.
    Grub,
}

/// An image in the making: paths like `boot/grub/grub.cfg` and their bytes.
pub struct Iso {
    files: BTreeMap<String, Vec<u8>>,
    boot: Option<(String, BootInfo)>,
    hybrid: Option<Vec<u8>>,
    volume: String,
    created: [u8; 17],
}

impl Iso {
    /// An empty image with a volume name.
    pub fn new(volume: &str) -> Iso {
        let mut created = *b"20230101000000000";
        created[16] = 0;
        Iso { files: BTreeMap::new(), boot: None, hybrid: None, volume: volume.to_uppercase(), created }
    }

    /// Sets the volume's creation and modification time (ECMA-119 8.4.26.1), by which GRUB's `search` knows it.
    pub fn created(&mut self, when: [u8; 17]) {
        self.created = when;
    }

    /// Adds a file.
    pub fn add(&mut self, path: &str, bytes: Vec<u8>) {
        self.files.insert(path.to_uppercase(), bytes);
    }

    /// Names the no-emulation boot image among the files.
    pub fn boot(&mut self, path: &str, info: BootInfo) {
        self.boot = Some((path.to_uppercase(), info));
    }

    /// Boot code for the first sector (GRUB's `boot_hybrid.img`): the image then boots from a hard disk too.
    pub fn hybrid(&mut self, mbr: Vec<u8>) {
        self.hybrid = Some(mbr);
    }

    /// The finished image, a whole number of 1 MiB (16-head, 63-sector cylinders need not be met).
    pub fn build(mut self) -> Result<Vec<u8>, String> {
        let dirs = self.directories();
        // 16 system sectors, primary descriptor, boot record, terminator, catalog, two path tables, directories, files.
        let mut next = 20;
        let mut table_sizes = 10; // the root's entry
        for d in dirs.keys().filter(|d| !d.is_empty()) {
            let n = base_name(d).len();
            table_sizes += 8 + n + n % 2;
        }
        let table_sectors = table_sizes.div_ceil(SECTOR);
        let tables = next;
        next += 2 * table_sectors;
        let mut dir_at = BTreeMap::new();
        for (name, entries) in &dirs {
            let size = directory_size(entries).div_ceil(SECTOR) * SECTOR;
            dir_at.insert(name.clone(), (next, size));
            next += size / SECTOR;
        }
        let mut file_at = BTreeMap::new();
        for (name, bytes) in &self.files {
            file_at.insert(name.clone(), (next, bytes.len()));
            next += bytes.len().div_ceil(SECTOR).max(1);
        }
        if let Some((name, info)) = self.boot.clone() {
            let at = file_at.get(&name).ok_or(format!("no boot image {name}"))?.0;
            let bytes = self.files.get_mut(&name).ok_or("no boot image")?;
            patch_boot(bytes, info, at);
        }
        let total = (next * SECTOR).next_multiple_of(1 << 20);
        let mut out = vec![0; total];
        for (name, bytes) in &self.files {
            put(&mut out, file_at[name].0, 0, bytes);
        }
        let numbers: BTreeMap<&str, u16> =
            path_order(&dirs).iter().enumerate().map(|(i, d)| (*d, i as u16 + 1)).collect();
        self.path_tables(&mut out, &dirs, &dir_at, &numbers, tables, table_sectors);
        for (name, entries) in &dirs {
            let bytes = directory(name, entries, &dir_at, &file_at);
            put(&mut out, dir_at[name].0, 0, &bytes);
        }
        self.descriptors(&mut out, dir_at[""], tables, table_sectors, table_sizes, file_at);
        Ok(out)
    }

    /// All directories with the names of what they hold (`true` = a directory).
    fn directories(&self) -> BTreeMap<String, BTreeMap<String, bool>> {
        let mut dirs: BTreeMap<String, BTreeMap<String, bool>> = BTreeMap::new();
        dirs.insert(String::new(), BTreeMap::new());
        for path in self.files.keys() {
            let mut child = path.clone();
            let mut is_dir = false;
            loop {
                let parent = child.rsplit_once('/').map_or(String::new(), |(p, _)| p.to_owned());
                dirs.entry(parent.clone()).or_default().insert(base_name(&child).to_owned(), is_dir);
                if parent.is_empty() {
                    break;
                }
                child = parent;
                is_dir = true;
            }
        }
        dirs
    }

    fn path_tables(
        &self,
        out: &mut [u8],
        dirs: &BTreeMap<String, BTreeMap<String, bool>>,
        dir_at: &BTreeMap<String, (usize, usize)>,
        numbers: &BTreeMap<&str, u16>,
        tables: usize,
        sectors: usize,
    ) {
        for (big, at) in [(false, tables), (true, tables + sectors)] {
            let mut t = Vec::new();
            for d in path_order(dirs) {
                let name = if d.is_empty() { "\0" } else { base_name(d) };
                let parent = d.rsplit_once('/').map_or("", |(p, _)| p);
                t.push(name.len() as u8);
                t.push(0);
                let (lba, up) = (dir_at[d].0 as u32, numbers[parent]);
                t.extend(if big { lba.to_be_bytes() } else { lba.to_le_bytes() });
                t.extend(if big { up.to_be_bytes() } else { up.to_le_bytes() });
                t.extend(name.as_bytes());
                t.resize(t.len().next_multiple_of(2), 0);
            }
            put(out, at, 0, &t);
        }
    }

    fn descriptors(
        &self,
        out: &mut [u8],
        root: (usize, usize),
        tables: usize,
        table_sectors: usize,
        table_size: usize,
        file_at: BTreeMap<String, (usize, usize)>,
    ) {
        let sectors = (out.len() / SECTOR) as u32;
        let mut pvd = vec![0; SECTOR];
        pvd[..7].copy_from_slice(b"\x01CD001\x01");
        pvd[8..40].fill(b' ');
        pvd[40..72].fill(b' ');
        pvd[40..40 + self.volume.len().min(32)]
            .copy_from_slice(&self.volume.as_bytes()[..self.volume.len().min(32)]);
        pvd[80..88].copy_from_slice(&both32(sectors));
        pvd[120..124].copy_from_slice(&both16(1));
        pvd[124..128].copy_from_slice(&both16(1));
        pvd[128..132].copy_from_slice(&both16(SECTOR as u16));
        pvd[132..140].copy_from_slice(&both32(table_size as u32));
        pvd[140..144].copy_from_slice(&(tables as u32).to_le_bytes());
        pvd[148..152].copy_from_slice(&((tables + table_sectors) as u32).to_be_bytes());
        pvd[156..190].copy_from_slice(&record(b"\0", root.0, root.1, true));
        pvd[190..813].fill(b' ');
        for at in [813, 830, 864] {
            pvd[at..at + 17].copy_from_slice(&self.created);
        }
        pvd[847..863].fill(b'0');
        pvd[881] = 1;
        put(out, 16, 0, &pvd);
        put(out, 18, 0, b"\xffCD001\x01");
        let Some((name, _)) = &self.boot else {
            put(out, 17, 0, b"\xffCD001\x01");
            return;
        };
        let mut record = vec![0; SECTOR];
        record[..7].copy_from_slice(b"\x00CD001\x01");
        record[7..30].copy_from_slice(b"EL TORITO SPECIFICATION");
        record[71..75].copy_from_slice(&19u32.to_le_bytes());
        put(out, 17, 0, &record);
        // Validation entry (its words sum to zero), then the default entry: no emulation, four 512-byte sectors.
        let mut catalog = [0u8; 64];
        catalog[0] = 1;
        catalog[30..32].copy_from_slice(&[0x55, 0xaa]);
        let sum = catalog[..32].chunks(2).fold(0u16, |s, w| s.wrapping_add(u16::from_le_bytes([w[0], w[1]])));
        catalog[28..30].copy_from_slice(&sum.wrapping_neg().to_le_bytes());
        catalog[32] = 0x88;
        catalog[38] = 4;
        let lba = file_at[name].0;
        catalog[40..44].copy_from_slice(&(lba as u32).to_le_bytes());
        put(out, 19, 0, &catalog);
        if let Some(mbr) = &self.hybrid {
            self.master_boot_record(out, mbr, lba);
        }
    }

    /// GRUB's hybrid boot sector with its one patch, the boot image's second 512-byte sector, and a partition that
    /// covers the image.
    fn master_boot_record(&self, out: &mut [u8], mbr: &[u8], lba: usize) {
        out[..440].copy_from_slice(&mbr[..440]);
        out[0x1b0..0x1b8].copy_from_slice(&(lba as u64 * 4 + 4).to_le_bytes());
        let sectors = (out.len() / 512) as u32 - 1;
        let mut p = [0u8; 16];
        p[..8].copy_from_slice(&[0x80, 0, 2, 0, 0xcd, 0xfe, 0xff, 0xff]);
        p[8..12].copy_from_slice(&1u32.to_le_bytes());
        p[12..16].copy_from_slice(&sectors.to_le_bytes());
        out[0x1be..0x1ce].copy_from_slice(&p);
        out[510..512].copy_from_slice(&[0x55, 0xaa]);
    }
}

fn patch_boot(bytes: &mut Vec<u8>, info: BootInfo, lba: usize) {
    bytes.resize(bytes.len().max(64).next_multiple_of(4), 0);
    if info == BootInfo::Grub && bytes.len() >= 2556 {
        bytes[2548..2556].copy_from_slice(&(lba as u64 * 4 + 5).to_le_bytes());
    }
    let sum =
        bytes[64..].chunks(4).fold(0u32, |s, w| s.wrapping_add(u32::from_le_bytes([w[0], w[1], w[2], w[3]])));
    for (at, v) in [(8, 16), (12, lba as u32), (16, bytes.len() as u32), (20, sum)] {
        bytes[at..at + 4].copy_from_slice(&v.to_le_bytes());
    }
    bytes[24..64].fill(0);
}

fn put(out: &mut [u8], sector: usize, at: usize, bytes: &[u8]) {
    let at = sector * SECTOR + at;
    out[at..at + bytes.len()].copy_from_slice(bytes);
}

fn base_name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, b)| b)
}

/// Path tables go level by level, then by parent and name (ECMA-119 9.4).
fn path_order(dirs: &BTreeMap<String, BTreeMap<String, bool>>) -> Vec<&str> {
    let mut v: Vec<&str> = dirs.keys().map(String::as_str).collect();
    v.sort_by_key(|d| (if d.is_empty() { 0 } else { 1 + d.matches('/').count() }, d.to_string()));
    v
}

fn both32(v: u32) -> [u8; 8] {
    let mut b = [0; 8];
    b[..4].copy_from_slice(&v.to_le_bytes());
    b[4..].copy_from_slice(&v.to_be_bytes());
    b
}

fn both16(v: u16) -> [u8; 4] {
    [v as u8, (v >> 8) as u8, (v >> 8) as u8, v as u8]
}

/// A directory record (ECMA-119 9.1).
fn record(name: &[u8], lba: usize, size: usize, dir: bool) -> Vec<u8> {
    let len = (33 + name.len()).next_multiple_of(2);
    let mut r = vec![0; len];
    r[0] = len as u8;
    r[2..10].copy_from_slice(&both32(lba as u32));
    r[10..18].copy_from_slice(&both32(size as u32));
    r[18..25].copy_from_slice(&[123, 1, 1, 0, 0, 0, 0]);
    r[25] = if dir { 2 } else { 0 };
    r[28..32].copy_from_slice(&both16(1));
    r[32] = name.len() as u8;
    r[33..33 + name.len()].copy_from_slice(name);
    r
}

fn file_id(name: &str, dir: bool) -> String {
    match (dir, name.contains('.')) {
        (true, _) => name.to_owned(),
        (false, true) => format!("{name};1"),
        (false, false) => format!("{name}.;1"),
    }
}

/// Records do not cross sectors.
fn pack(records: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::new();
    for r in records {
        if out.len() % SECTOR + r.len() > SECTOR {
            out.resize(out.len().next_multiple_of(SECTOR), 0);
        }
        out.extend(r);
    }
    out
}

fn directory_size(entries: &BTreeMap<String, bool>) -> usize {
    let dots = [b"\0", b"\x01"].map(|n| record(n, 0, 0, true));
    pack(dots.into_iter().chain(entries.iter().map(|(n, d)| record(file_id(n, *d).as_bytes(), 0, 0, *d))))
        .len()
}

fn directory(
    name: &str,
    entries: &BTreeMap<String, bool>,
    dir_at: &BTreeMap<String, (usize, usize)>,
    file_at: &BTreeMap<String, (usize, usize)>,
) -> Vec<u8> {
    let own = dir_at[name];
    let up = dir_at[name.rsplit_once('/').map_or("", |(p, _)| p)];
    let dots = [record(b"\0", own.0, own.1, true), record(b"\x01", up.0, up.1, true)];
    let rest = entries.iter().map(|(n, d)| {
        let path = if name.is_empty() { n.clone() } else { format!("{name}/{n}") };
        let (lba, size) = if *d { dir_at[&path] } else { file_at[&path] };
        record(file_id(n, *d).as_bytes(), lba, size, *d)
    });
    pack(dots.into_iter().chain(rest))
}
