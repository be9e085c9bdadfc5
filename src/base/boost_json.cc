// Boost.JSON's compiled part, built here so that the linker can leave out what nobody uses (its
// stream operators bring in all of iostreams otherwise).
#include <boost/json/src.hpp>
