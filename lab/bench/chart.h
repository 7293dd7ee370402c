// The document that the charts of `lab bench` are drawn into.
#pragma once

#include <string>

namespace lab::bench {

// A document with the styles "title", "note", "name", "value", "bar", "ours", "whisker", "axis", "curve",
// "second".
[[nodiscard]] std::string chart_document(double width, double height, const std::string& body);

}  // namespace lab::bench
