//! What of a log is drawn and what of it is in sight. Lines that are not drawn are room above and below those that are; where
//! lines are broken, the room is a guess, and what is in sight is held where it is.

use leptos::{html, prelude::*, svg};
use web_sys::{Element, HtmlElement};

use super::{BLOCK, BLOCKS};

/// The height of a line in pixels, as in the styles.
const HEIGHT: u32 = 24;

/// A drawn block.
#[derive(Clone)]
struct Block {
    number: u32,
    lines: u32,
    element: Element,
}

/// The frame of a log and the blocks in it. Cheap to copy.
#[derive(Clone, Copy)]
pub struct Sight {
    /// What scrolls.
    pub frame: NodeRef<html::Div>,
    /// The blocks.
    pub table: NodeRef<html::Div>,
    /// The room above them.
    pub above: NodeRef<svg::Svg>,
    /// The room below them.
    pub below: NodeRef<svg::Svg>,
    /// The number of the first block, and how many lines each has.
    drawn: StoredValue<(u32, Vec<u32>)>,
    total: StoredValue<u64>,
    /// Where it was scrolled to when that was last seen.
    top: StoredValue<i32>,
}

fn children(of: &Element) -> impl Iterator<Item = Element> + use<> {
    std::iter::successors(of.first_element_child(), Element::next_element_sibling)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "lines of a log on screen")]
const fn lines(pixels: f64) -> u64 {
    pixels as u64
}

impl Sight {
    /// What the page came with.
    pub fn new(first: u32, counts: Vec<u32>, total: u64) -> Self {
        Self {
            frame: NodeRef::new(),
            table: NodeRef::new(),
            above: NodeRef::new(),
            below: NodeRef::new(),
            drawn: StoredValue::new((first, counts)),
            total: StoredValue::new(total),
            top: StoredValue::new(0),
        }
    }

    fn blocks(self) -> Vec<Block> {
        let Some(Some(table)) = self.table.try_get_untracked() else { return Vec::new() };
        let (first, counts) = self.drawn.get_value();
        let numbered = (first..).zip(counts).zip(children(&table));
        numbered.map(|((number, lines), element)| Block { number, lines, element }).collect()
    }

    fn frame(self) -> Option<HtmlElement> {
        self.frame.try_get_untracked().flatten().map(|frame| HtmlElement::clone(&frame))
    }

    /// The first line in sight, and how many fit.
    pub fn seen(self) -> (u64, u64) {
        let Some(frame) = self.frame() else { return (0, 1) };
        let edge = frame.get_bounding_client_rect().top();
        let fit = lines(f64::from(frame.client_height()) / f64::from(HEIGHT)) + 1;
        let mut end = (0, f64::from(frame.scroll_top()));
        for (place, block) in self.blocks().into_iter().enumerate() {
            let rect = block.element.get_bounding_client_rect();
            let begin = u64::from(block.number * BLOCK);
            if rect.bottom() > edge {
                let inside = edge - rect.top();
                if inside < 0.0 && place == 0 {
                    return (lines(f64::from(frame.scroll_top()) / f64::from(HEIGHT)), fit);
                }
                let share = inside.max(0.0) / rect.height().max(1.0);
                return (begin + lines(share * f64::from(block.lines)), fit);
            }
            end = (begin + u64::from(block.lines), edge - rect.bottom());
        }
        (end.0 + lines(end.1 / f64::from(HEIGHT)), fit)
    }

    /// The blocks that should be drawn for what is in sight: the first and the last.
    fn wanted(self) -> (u32, u32) {
        let size = u64::from(BLOCK);
        let last_of_all = self.total.get_value().saturating_sub(1) / size;
        let (top, fit) = self.seen();
        let (mut first, mut last) = ((top / size).min(last_of_all), ((top + fit) / size).min(last_of_all));
        // One more on each side, as far as not too many are drawn.
        if first > 0 && last - first + 1 < u64::from(BLOCKS) {
            first -= 1;
        }
        if last < last_of_all && last - first + 1 < u64::from(BLOCKS) {
            last += 1;
        }
        let number = |block: u64| u32::try_from(block).unwrap_or(u32::MAX);
        (number(first), number(last))
    }

    /// The first block that is missing, and how many from there on; drops what is far from sight.
    pub fn missing(self) -> Option<(u32, u32)> {
        let total = self.total.get_value();
        if total == 0 {
            return None;
        }
        let (first, last) = self.wanted();
        let (begin, counts) = self.drawn.get_value();
        let is_whole = |number: &u32| {
            let expected = (total - u64::from(number * BLOCK)).min(u64::from(BLOCK));
            let drawn = number.checked_sub(begin).and_then(|place| counts.get(place as usize));
            drawn.is_some_and(|drawn| u64::from(*drawn) >= expected)
        };
        let mut missing = (first..=last).filter(|number| !is_whole(number));
        let Some(from) = missing.next() else {
            if counts.len() > BLOCKS.max(last - first + 1) as usize {
                self.draw(first, &[], "", Some((first, last)), false);
            }
            return None;
        };
        Some((from, missing.next_back().unwrap_or(from) - from + 1))
    }

    /// How many lines there are now. What is in sight does not move.
    pub fn set_total(self, total: u64) {
        self.total.set_value(total);
        let (first, counts) = self.drawn.get_value();
        self.make_room(first, counts.iter().sum());
    }

    fn make_room(self, first: u32, drawn: u32) {
        let (above, total) = (u64::from(first) * u64::from(BLOCK), self.total.get_value());
        let below = total.saturating_sub(above + u64::from(drawn));
        for (node, lines) in [(self.above, above), (self.below, below)] {
            if let Some(Some(node)) = node.try_get_untracked() {
                drop(node.set_attribute("height", &(lines * u64::from(HEIGHT)).to_string()));
            }
        }
    }

    /// Draws blocks beside those that are drawn, or instead of them, and keeps the drawn ones from the first to the last of
    /// `kept`; without it, those that are wanted. What is in sight stays where it is.
    pub fn draw(self, first: u32, counts: &[u32], html: &str, kept: Option<(u32, u32)>, instead: bool) {
        let (Some(frame), Some(Some(table))) = (self.frame(), self.table.try_get_untracked()) else { return };
        let edge = frame.get_bounding_client_rect().top();
        let old = self.blocks();
        // The first line in sight.
        let end = edge + f64::from(frame.client_height());
        let held = old.iter().flat_map(|block| children(&block.element)).find_map(|row| {
            let rect = row.get_bounding_client_rect();
            (rect.bottom() > edge && rect.top() < end).then(|| (row.id(), rect.top()))
        });
        let Ok(holder) = document().create_element("div") else { return };
        holder.set_inner_html(html);
        let fresh = (first..).zip(counts).zip(children(&holder));
        let mut blocks: Vec<Block> =
            fresh.map(|((number, lines), element)| Block { number, lines: *lines, element }).collect();
        if !instead {
            let (from, to) = (first, first + u32::try_from(counts.len()).unwrap_or(0));
            blocks.extend(old.iter().filter(|block| !(from..to).contains(&block.number)).cloned());
            blocks.sort_unstable_by_key(|block| block.number);
        }
        let (from, to) = kept.unwrap_or_else(|| self.wanted());
        let mut kept = without_gaps(blocks.iter().filter(|block| (from..=to).contains(&block.number)).cloned());
        if kept.is_empty() {
            // One has scrolled on meanwhile: what came is drawn where it is.
            kept =
                without_gaps(blocks.into_iter().filter(|block| block.element.parent_node().as_ref() == Some(&holder)));
        }
        for block in old.iter().filter(|old| !kept.iter().any(|new| new.element == old.element)) {
            block.element.remove();
        }
        let mut here = table.first_element_child();
        for block in &kept {
            if here.as_ref() == Some(&block.element) {
                here = block.element.next_element_sibling();
            } else {
                drop(table.insert_before(&block.element, here.as_deref()));
            }
        }
        let first = kept.first().map_or(0, |block| block.number);
        let counts: Vec<u32> = kept.iter().map(|block| block.lines).collect();
        self.make_room(first, counts.iter().sum());
        self.drawn.set_value((first, counts));
        if let Some((id, was)) = held
            && let Some(row) = document().get_element_by_id(&id)
        {
            self.scroll_by(row.get_bounding_client_rect().top() - was);
        }
    }

    fn scroll_by(self, pixels: f64) {
        if let Some(frame) = self.frame() {
            #[expect(clippy::cast_possible_truncation, reason = "pixels of a page")]
            let pixels = pixels.round() as i32;
            if pixels != 0 {
                frame.set_scroll_top(frame.scroll_top() + pixels);
            }
            self.top.set_value(frame.scroll_top());
        }
    }

    /// Keeps few blocks: those at a line, or at the end.
    pub fn settle(self, line: Option<u64>) {
        let size = u64::from(BLOCK);
        let last = self.total.get_value().saturating_sub(1) / size;
        let middle = line.map_or(last, |line| line / size);
        let to = (middle + u64::from(BLOCKS) / 2).min(last);
        let number = |block: u64| u32::try_from(block).unwrap_or(u32::MAX);
        self.draw(0, &[], "", Some((number(to.saturating_sub(u64::from(BLOCKS) - 1)), number(to))), false);
    }

    /// Whether there is something above what is in sight.
    pub fn can_go_up(self) -> bool {
        self.frame().is_some_and(|frame| frame.scroll_top() > 0)
    }

    /// Scrolls to the end.
    pub fn to_end(self) {
        if let Some(frame) = self.frame() {
            frame.set_scroll_top(frame.scroll_height());
            self.top.set_value(frame.scroll_top());
        }
    }

    /// Scrolls to a line that is drawn: to the top, or below it with some lines before it.
    pub fn to_line(self, line: u64, at_top: bool) {
        let Some(frame) = self.frame() else { return };
        let block = self.blocks().into_iter().find(|block| u64::from(block.number) == line / u64::from(BLOCK));
        let place = usize::try_from(line % u64::from(BLOCK)).unwrap_or(0);
        if let Some(row) = block.and_then(|block| children(&block.element).nth(place)) {
            let room = if at_top { 0.0 } else { f64::from(frame.client_height()) / 3.0 };
            let top = frame.get_bounding_client_rect().top();
            self.scroll_by(row.get_bounding_client_rect().top() - top - room);
            if !at_top {
                // The frame itself may be half below the page's fold.
                let nearest = web_sys::ScrollIntoViewOptions::new();
                nearest.set_block(web_sys::ScrollLogicalPosition::Nearest);
                row.scroll_into_view_with_scroll_into_view_options(&nearest);
            }
        }
    }

    /// After scrolling: whether the end is in sight, and whether it went up.
    pub fn scrolled(self) -> (bool, bool) {
        let Some(frame) = self.frame() else { return (true, false) };
        let top = frame.scroll_top();
        let before = self.top.get_value();
        self.top.set_value(top);
        (top + frame.client_height() >= frame.scroll_height() - 4, top < before)
    }
}

/// The most of the blocks that follow each other without a gap.
fn without_gaps(blocks: impl Iterator<Item = Block>) -> Vec<Block> {
    let (mut longest, mut run): (Vec<Block>, Vec<Block>) = Default::default();
    for block in blocks {
        if run.last().is_some_and(|last| last.number + 1 != block.number) {
            run.clear();
        }
        run.push(block);
        if run.len() > longest.len() {
            longest.clone_from(&run);
        }
    }
    longest
}
