// The few SVG elements that drawings of topologies and charts of measurements are made of.
#pragma once

#include <string>
#include <string_view>

namespace lab {

// Text that may stand between tags or in an attribute.
[[nodiscard]] std::string escape_xml(std::string_view text);

// A whole document on a white ground; `styles` is CSS, `title` what a browser shows for it.
[[nodiscard]] std::string svg_document(double width, double height, std::string_view title,
                                       std::string_view styles, std::string_view body);
[[nodiscard]] std::string svg_text(double x, double y, std::string_view style, std::string_view text,
                                   std::string_view anchor = "start");
[[nodiscard]] std::string svg_rect(double x, double y, double width, double height, std::string_view style);
[[nodiscard]] std::string svg_line(double x1, double y1, double x2, double y2, std::string_view style);

}  // namespace lab
