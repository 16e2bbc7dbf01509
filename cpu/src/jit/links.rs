//! Direct jumps from one translation to another, and from page to page within one: made when they are first run, for one address
//! space where they leave their page, and taken back when their target is dropped.

use super::lower::Link;
use super::{Exec, Jit, PAGE, extends, passes};

/// Where a link leads.
enum Leads {
    /// In the same pages; to the one at this RIP, if that is known.
    Within(Option<u64>),
    /// To the page at this RIP.
    Out(u64),
}

impl Jit {
    /// Host address of the page that link `n` of native block `from` leads to, if that is the one behind its own.
    pub fn link_beyond(&self, from: u32, n: u32) -> Option<u64> {
        let native = self.natives.get(from as usize)?.as_ref()?;
        native.second.filter(|_| native.links.get(n as usize).is_some_and(|l| l.beyond))
    }

    /// The page in RAM, by the place of its first byte, that link `n` of native block `from` is in, if that isn't the block's first.
    pub fn link_page(&self, from: u32, n: u32) -> Option<u64> {
        Some(self.natives.get(from as usize)?.as_ref()?.links.get(n as usize)?.page?.at)
    }

    /// Lets link `n` of `from` go straight to `to`, which is at the link's place in the same page.
    /// A link to another page holds for the space `serial` and code whose page is at RIP `page`.
    pub fn link(&mut self, from: u32, n: u32, to: u32, serial: u32, page: u64) {
        let there = self.leads_to(from, n, page);
        let first = self.link_page(from, n).is_none();
        let Some(Some(target)) = self.natives.get_mut(to as usize) else { return };
        target.sources.push((from, n));
        let number = to;
        let near = match there {
            Leads::Within(_) if from == to && first => target.inner,
            Leads::Within(Some(at)) | Leads::Out(at) if target.placed == Some(at) => target.sure,
            _ => target.near,
        };
        let to = (near, target.incoming);
        let old = self.natives.get_mut(from as usize).and_then(Option::as_mut);
        let old = old.and_then(|f| f.links.get_mut(n as usize)).and_then(|l| l.to.replace(number));
        // Linked anew: the target of before need not tell when it goes.
        if let Some(Some(t)) = old.and_then(|t| self.natives.get_mut(t as usize))
            && let Some(k) = t.sources.iter().position(|s| *s == (from, n))
        {
            t.sources.swap_remove(k);
        }
        self.patch(from, n, Some(to), serial, page);
        self.statistics.links += 1;
    }

    /// What is known of the page that link `n` of `from` leads to, whose own is at `page`.
    fn leads_to(&self, from: u32, n: u32, page: u64) -> Leads {
        let native = self.natives.get(from as usize).and_then(Option::as_ref);
        let Some((native, l)) = native.and_then(|f| Some((f, f.links.get(n as usize)?))) else {
            return Leads::Within(None);
        };
        match l.far {
            Some(far) => Leads::Out(page.wrapping_add_signed(far.pages)),
            None => {
                let by = l.page.map_or(0, |p| i64::from(p.by)) + if l.beyond { PAGE as i64 } else { 0 };
                Leads::Within(native.placed.map(|p| p.wrapping_add_signed(by)))
            }
        }
    }

    /// Points a link at an offset in code memory, or back at its own stub.
    pub(super) fn patch(
        &mut self,
        from: u32,
        n: u32,
        to: Option<(usize, passes::Incoming)>,
        serial: u32,
        page: u64,
    ) {
        let Some(Some(native)) = self.natives.get(from as usize) else { return };
        let Some(l) = native.links.get(n as usize).copied() else { return };
        let site = native.site;
        let mut jump = |at: usize, to: usize| {
            let rel = to as i64 - (at as i64 + 4);
            self.memory.write(at, &(rel as i32).to_le_bytes());
        };
        let target = match (to, l.tail) {
            (None, _) => site.place(l.stub),
            (Some((near, flags)), Some(tail)) if flags.refuses_recipe(tail.inputs) => {
                let piece = tail.keeps.filter(|_| !flags.refuses_recipe(0)).unwrap_or(tail.makes);
                jump(site.place(piece.jump), near);
                site.place(piece.at)
            }
            (Some((near, _)), _) => near,
        };
        if l.hop.is_none() {
            jump(site.place(l.at), target);
        }
        if let Some(far) = l.far {
            jump(site.place(far.other), site.place(if to.is_some() { far.cache } else { far.ask }));
            self.memory.write(site.place(far.serial), &serial.to_le_bytes());
            for (at, half) in far.page.into_iter().zip([page as u32, (page >> 32) as u32]) {
                if let Some(at) = at {
                    self.memory.write(site.place(at), &half.to_le_bytes());
                }
            }
        }
    }

    /// Links a jump to another page, for the processor's present space.
    pub fn link_far(&mut self, x: &mut Exec<'_>, from: u32, n: u32, to: u32, linear: u64) {
        let page = x.cpu.scratch.0.page_rip;
        let hop = self.natives.get(from as usize).and_then(Option::as_ref);
        let hop = hop.and_then(|f| f.links.get(n as usize)).and_then(|l| l.hop);
        if hop.is_some() {
            // It is the first of its block's.
            self.open_hops(x, from, page);
            return;
        }
        if let Some(serial) = self.far_serial(x, from, n, page, linear) {
            self.link(from, n, to, serial, page);
        }
    }

    /// Lets native block `id`, whose first page is at RIP `page`, go on in its other pages in the processor's present space, if these are
    /// where they were when it was made: the first jump to one of them looks whether the space's code is mapped as it is now, and for the
    /// next ones that still holds.
    pub fn open_hops(&mut self, x: &mut Exec<'_>, id: u32, page: u64) {
        self.open_guard(x, id, page);
        let Some(Some(native)) = self.natives.get(id as usize) else { return };
        let first = native.links.iter().enumerate().find_map(|(n, l)| Some((n as u32, l.hop?)));
        let Some((n, first)) = first else { return };
        let there = |by: i32| page.wrapping_add_signed(by.into());
        let tlb = &mut x.derived.tlb;
        if !native.hops.iter().all(|h| tlb.find_execute(there(h.by)) == Some(h.at as usize)) {
            return;
        }
        let shared = x.derived.tlb.is_shared(x.cpu, page);
        for h in &native.hops {
            x.derived.tlb.note_code(x.cpu, x.mem, there(h.by), shared);
        }
        if let Some(serial) = self.far_serial(x, id, n, page, there(first.by)) {
            let flags = passes::Incoming { needed: true, dirty: 0 };
            self.patch(id, n, Some((0, flags)), serial, page);
            self.statistics.links += 1;
        }
    }

    /// Lets native block `id`, whose first page is at RIP `page`, do without a look for the page behind that, if this is where it was, while
    /// the present space's code is mapped as it is now.
    pub fn open_guard(&mut self, x: &mut Exec<'_>, id: u32, page: u64) {
        let Some(Some(native)) = self.natives.get_mut(id as usize) else { return };
        let (Some((at, seen)), Some(frame)) = (&mut native.guard, native.second) else { return };
        let behind = page.wrapping_add(PAGE);
        let place = frame.wrapping_sub(x.mem.ram.base() as u64) as usize;
        let shared = x.derived.tlb.is_shared(x.cpu, page);
        if native.placed != Some(page)
            || x.derived.tlb.find_execute(behind) != Some(place)
            || shared != x.derived.tlb.is_shared(x.cpu, behind)
        {
            return;
        }
        x.derived.tlb.note_code(x.cpu, x.mem, behind, shared);
        // No space has the number 0.
        *seen = x.derived.tlb.code_serial(x.cpu, x.mem, shared);
        self.memory.write(*at, &seen.to_le_bytes());
    }

    /// The number that jump `n` of native block `from`, whose page is at `page`, to `linear` in another page is to compare with that of
    /// the processor's space, if there is one.
    fn far_serial(&mut self, x: &mut Exec<'_>, from: u32, n: u32, page: u64, linear: u64) -> Option<u32> {
        let shared = x.derived.tlb.is_shared(x.cpu, page);
        if shared != x.derived.tlb.is_shared(x.cpu, linear) {
            // The number that the jump can compare is the one of the half that it comes from.
            return None;
        }
        x.derived.tlb.note_code(x.cpu, x.mem, linear, shared);
        let serial = x.derived.tlb.code_serial(x.cpu, x.mem, shared);
        let far = |l: &Link| l.far.is_some_and(|f| f.extends && !extends(page));
        let links = self.natives.get(from as usize).and_then(Option::as_ref).map(|f| &f.links);
        let wide = links.and_then(|l| l.get(n as usize)).is_some_and(far);
        // No space has the number 0: it always goes by the jump cache.
        if wide { Some(0) } else { Some(serial).filter(|n| *n != 0) }
    }
}
