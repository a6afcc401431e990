//! The codes of ISO 4217: those in force, and those withdrawn since invoices are kept by machines,
//! because history names them. A code that is in neither list is a slip of the keyboard, and would
//! quietly keep an amount out of every sum.
//!
//! To add a code: its place in the list (a test holds it sorted).

/// A code of three letters.
pub(super) type Code = [u8; 3];

/// Whether ISO 4217 has, or had, that code.
#[inline]
pub(super) fn exists(code: Code) -> bool {
    CODES.as_chunks().0.binary_search(&code).is_ok()
}

/// All codes, sorted, without anything between them.
const CODES: &[u8] = b"\
ADPAEDAFAAFNALKALLAMDANGAOAAOKAONAORARAARPARSARYATSAUDAWGAYMAZMAZN\
BADBAMBBDBDTBECBEFBELBGJBGKBGLBGNBHDBIFBMDBNDBOBBOPBOVBRBBRCBREBRLBRNBRRBSDBTNBUKBWPBYBBYNBYRBZD\
CADCDFCHCCHECHFCHWCLECLFCLPCNYCOPCOUCRCCSDCSJCSKCUCCUPCVECYPCZK\
DDMDEMDJFDKKDOPDZDECSECVEEKEGPERNESAESBESPETBEUR\
FIMFJDFKPFRFGBPGEKGELGHCGHPGHSGIPGMDGNEGNFGNSGQEGRDGTQGWEGWPGYD\
HKDHNLHRDHRKHTGHUFIDRIEPILPILRILSINRIQDIRRISJISKITLJMDJODJPY\
KESKGSKHRKMFKPWKRWKWDKYDKZTLAJLAKLBPLKRLRDLSLLSMLTLLTTLUCLUFLULLVLLVRLYD\
MADMDLMGAMGFMKDMLFMMKMNTMOPMROMRUMTLMTPMURMVQMVRMWKMXNMXPMXVMYRMZEMZMMZN\
NADNGNNICNIONLGNOKNPRNZDOMRPABPEHPEIPENPESPGKPHPPKRPLNPLZPTEPYGQAR\
RHDROKROLRONRSDRUBRURRWFSARSBDSCRSDDSDGSDPSEKSGDSHPSITSKKSLESLLSOSSRDSRGSSPSTDSTNSURSVCSYPSZL\
THBTJRTJSTMMTMTTNDTOPTPETRLTRYTTDTWDTZSUAHUAKUGSUGWUGXUSDUSNUSSUYIUYNUYPUYUUYWUZS\
VEBVEDVEFVESVNCVNDVUVWSTXADXAFXAGXAUXBAXBBXBCXBDXCDXCGXDRXEUXFOXFUXOFXPDXPFXPTXREXSUXTSXUAXXX\
YDDYERYUDYUMYUNYURZALZARZMKZMWZRNZRZZWCZWDZWGZWLZWNZWR";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sorted_and_each_there_once() {
        let (codes, rest) = CODES.as_chunks::<3>();
        assert!(rest.is_empty() && codes.len() > 250, "{} codes, {rest:?}", codes.len());
        assert!(codes.is_sorted_by(|a, b| a < b), "{:?}", codes.windows(2).find(|two| two[0] >= two[1]));
        assert!(CODES.iter().all(u8::is_ascii_uppercase));
    }

    #[test]
    fn what_is_used_and_was_used_exists_and_slips_do_not() {
        // Of every continent, the youngest and the withdrawn among them.
        for code in
            ["EUR", "USD", "JPY", "KWD", "CHF", "BRL", "INR", "ZAR", "NGN", "AUD", "ZWG", "XCG", "SLE"]
        {
            assert!(exists(code.as_bytes().try_into().expect("three letters")), "{code}");
        }
        for code in ["DEM", "BGN", "HRK", "ANG", "ZWL", "ADP", "ZWR"] {
            assert!(exists(code.as_bytes().try_into().expect("three letters")), "{code}");
        }
        for code in ["ZZZ", "AAA", "EUX", "USB", "YEN", "RMB", "BTC", "eur"] {
            assert!(!exists(code.as_bytes().try_into().expect("three letters")), "{code}");
        }
    }
}
